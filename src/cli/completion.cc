// wrenn completion: the scripts by which shells complete wrenn's command lines.
//
// They know nothing of the commands: they ask `wrenn __complete`, which walks the same tree that
// parses command lines. So they never grow stale.
#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/invocation.h"

namespace wrenn::cli {
namespace {

constexpr std::string_view kBash =
    R"script(# bash completion of wrenn: source <(wrenn completion bash)
_wrenn() {
    local word
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        if [[ $word == :files ]]; then
            compopt -o default 2>/dev/null
        elif [[ -n $word ]]; then
            # ':' separates words for bash: it replaces only what follows the last one.
            [[ $word == *: ]] && compopt -o nospace 2>/dev/null
            COMPREPLY+=("$word")
        fi
    done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _wrenn wrenn
)script";

constexpr std::string_view kZsh = R"script(#compdef wrenn
# zsh completion of wrenn: source <(wrenn completion zsh), or as _wrenn in a folder of $fpath
_wrenn() {
    local word description files= unmatched=1
    local -a found open
    while IFS=$'\t' read -r word description; do
        if [[ $word == :files ]]; then
            files=yes
        elif [[ $word == *: ]]; then
            open+=("$word")
        elif [[ -n $word ]]; then
            found+=("${word//:/\\:}${description:+:$description}")
        fi
    done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( ${#found} )) && _describe -t values 'wrenn' found && unmatched=0
    (( ${#open} )) && compadd -S '' -a open && unmatched=0
    [[ -n $files ]] && _files && unmatched=0
    return unmatched
}
if [[ ${funcstack[1]} == _wrenn ]]; then
    _wrenn "$@"
else
    compdef _wrenn wrenn
fi
)script";

constexpr std::string_view kFish =
    R"script(# fish completion of wrenn: wrenn completion fish | source
function __wrenn_complete
    set -l words (commandline -opc)
    set -l cursor (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] "$cursor" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$cursor"
        else
            echo $line
        end
    end
end
complete -c wrenn -f -a '(__wrenn_complete)'
)script";

}  // namespace

std::string_view CompletionScript(std::string_view shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return {};
}

void AddCompletion(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("completion", "Print a script for your shell's completion");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "It completes commands, options, sandbox ids and names of templates.\n\n"
      "Examples:\n"
      "  source <(wrenn completion bash)\n"
      "  wrenn completion fish > ~/.config/fish/completions/wrenn.fish");
  command->callback([&invocation, shell] {
    invocation.run = [shell]() -> Result<int> {
      fmt::print("{}", CompletionScript(*shell));
      return kSuccess;
    };
  });
}

}  // namespace wrenn::cli
