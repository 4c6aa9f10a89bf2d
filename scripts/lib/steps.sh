# Steps: named parts of a script, timed, with their output in a log, and a table of times at the end.
# For sourcing; the script sets `log_dir` first.

step_names=()
step_seconds=()
step_log=

now() { date +%s.%N; }
elapsed() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", b - a }'; }  # FROM UNTIL
steps_begin=$(now)

# On a terminal: what the running step says last, and for how long it has been running.
show_progress() {  # NAME LOG
  local begin=$SECONDS
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    printf '\r%-32s %6d s  %.38s\033[K' "$1" $((SECONDS - begin)) \
      "$(tail -c 400 "$2" | tr '\r' '\n' | grep -v '^ *$' | tail -1 | tr -cd '[:print:]')"
  done
}

log_of() { echo "$log_dir/${1//[^a-zA-Z0-9_.-]/-}.log"; }

# step NAME COMMAND...: runs it with its output in $log_dir/NAME.log; on failure shows the log's end,
# says which step it was, and answers the command's status.
step() {
  local name=$1 begin status=0
  shift
  step_log=$(log_of "$name")
  : >"$step_log"
  begin=$(now)
  with_progress "$name" in_log "$step_log" "$@" || status=$?
  end_step "$name" "$(elapsed "$begin" "$(now)")" "$status"
}

# begin_beside NAME COMMAND...: begins a step beside those that follow, with what they leave of the
# processors; end_beside NAME waits for it, and answers as step does. cancel_beside ends what is not waited
# for: call it when the script exits.
declare -A steps_beside=()
begin_beside() {
  local name=$1 log
  shift
  log=$(log_of "$name")
  rm -f "$log.ended"
  set -m  # a group of its own, to be ended by
  (
    status=0
    renice -n 19 "$BASHPID" >/dev/null
    in_log "$log" "$@" || status=$?
    now >"$log.ended"
    exit "$status"
  ) &
  set +m
  steps_beside[$name]="$! $(now)"
}
end_beside() {
  local process begin status=0
  read -r process begin <<<"${steps_beside[$1]}"
  unset "steps_beside[$1]"
  step_log=$(log_of "$1")
  with_progress "$1" wait "$process" || status=$?
  end_step "$1" "$(elapsed "$begin" "$(cat "$step_log.ended" 2>/dev/null || now)")" "$status"
}

cancel_beside() {
  local name process
  for name in "${!steps_beside[@]}"; do
    read -r process _ <<<"${steps_beside[$name]}"
    kill -- "-$process" 2>/dev/null || true
  done
}

in_log() { ("${@:2}") </dev/null >"$1" 2>&1; }

with_progress() {  # NAME COMMAND...
  local progress='' status=0
  if [ -t 1 ]; then
    show_progress "$1" "$step_log" &
    progress=$!
  fi
  "${@:2}" || status=$?
  if [ -n "$progress" ]; then
    kill "$progress"
    wait "$progress" 2>/dev/null || true
    printf '\r\033[K'
  fi
  return "$status"
}

end_step() {  # NAME SECONDS STATUS
  step_names+=("$1")
  step_seconds+=("$2")
  if [ "$3" -eq 0 ]; then
    printf '%-32s %8s s\n' "$1" "${step_seconds[-1]}"
  else
    printf '%-32s %8s s  FAILED\n' "$1" "${step_seconds[-1]}"
    tail -n 25 "$step_log" | sed 's/^/    | /'
    printf '    log: %s\n' "$step_log"
  fi
  return "$3"
}

print_times() {
  local i
  printf '\n%-32s %8s\n' step seconds
  for i in "${!step_names[@]}"; do
    printf '%-32s %8s\n' "${step_names[i]}" "${step_seconds[i]}"
  done
  printf '%-32s %8s\n' 'in all' "$(elapsed "$steps_begin" "$(now)")"
}
