# Steps: named parts of a script, timed, with their output in a log, and a table of times at the end.
# For sourcing; the script sets `log_dir` first.

step_names=()
step_seconds=()
step_log=

now() { date +%s.%N; }
elapsed() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

# On a terminal: what the running step says last, and for how long it has been running.
show_progress() {  # NAME LOG
  local begin=$SECONDS
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    printf '\r%-32s %6d s  %.38s\033[K' "$1" $((SECONDS - begin)) \
      "$(tail -c 400 "$2" | tr '\r' '\n' | grep -v '^ *$' | tail -1 | tr -cd '[:print:]')"
  done
}

# step NAME COMMAND...: runs it with its output in $log_dir/NAME.log; on failure shows the log's end,
# says which step it was, and answers the command's status.
step() {
  local name=$1 begin progress='' status=0
  shift
  step_log=$log_dir/${name//[^a-zA-Z0-9_.-]/-}.log
  : >"$step_log"
  begin=$(now)
  if [ -t 1 ]; then
    show_progress "$name" "$step_log" &
    progress=$!
  fi
  ("$@") </dev/null >"$step_log" 2>&1 || status=$?
  if [ -n "$progress" ]; then
    kill "$progress"
    wait "$progress" 2>/dev/null || true
    printf '\r\033[K'
  fi
  step_names+=("$name")
  step_seconds+=("$(elapsed "$begin")")
  if [ "$status" -eq 0 ]; then
    printf '%-32s %8s s\n' "$name" "${step_seconds[-1]}"
  else
    printf '%-32s %8s s  FAILED\n' "$name" "${step_seconds[-1]}"
    tail -n 25 "$step_log" | sed 's/^/    | /'
    printf '    log: %s\n' "$step_log"
  fi
  return "$status"
}

print_times() {
  local i total=0
  printf '\n%-32s %8s\n' step seconds
  for i in "${!step_names[@]}"; do
    printf '%-32s %8s\n' "${step_names[i]}" "${step_seconds[i]}"
    total=$(awk -v a="$total" -v b="${step_seconds[i]}" 'BEGIN { print a + b }')
  done
  printf '%-32s %8.1f\n' total "$total"
}
