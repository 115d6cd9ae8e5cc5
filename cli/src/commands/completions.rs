//! `ai-energy-benchmark completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Arguments, CompletionArgs};
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: CompletionArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "ai-energy-benchmark",
        &mut script,
    );
    // The bash generator joins subcommands to a name with hyphens in two different ways, so that no flag of
    // a subcommand would be found; one way is as good as the other.
    let script = String::from_utf8_lossy(&script)
        .replace("ai__subcmd__energy__subcmd__benchmark", "ai__energy__benchmark");
    terminal::out(&script);
    terminal::out(changes(arguments.shell));
    Exit::Ok
}

/// What the script adds to clap's: words that are no flags are asked from the program itself, which knows
/// the keys of the config. `=` and `:` end a word in bash, so only what follows them is given back.
fn changes(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => {
            r#"
_ai_energy_benchmark_changes() {
    _ai__energy__benchmark "$@"
    local line="${COMP_LINE:0:COMP_POINT}" candidate
    local word="${line##* }" cur="${COMP_WORDS[COMP_CWORD]}"
    [[ "$cur" == [=:] ]] && cur=""
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate:$((${#word} - ${#cur}))}")
        [[ "$candidate" == *= ]] && compopt -o nospace 2>/dev/null
    done < <(ai-energy-benchmark complete "$line" 2>/dev/null)
}
complete -F _ai_energy_benchmark_changes -o bashdefault -o default ai-energy-benchmark
"#
        }
        Shell::Fish => {
            r#"
complete -c ai-energy-benchmark -n "__fish_seen_subcommand_from run validate doctor" \
    -a "(ai-energy-benchmark complete (commandline -cp) 2>/dev/null)"
"#
        }
        Shell::Zsh => {
            r#"
_ai_energy_benchmark_changes() {
    local -a found
    found=("${(@f)$(ai-energy-benchmark complete "${LBUFFER}" 2>/dev/null)}")
    (( ${#found[1]} )) && compadd -S '' -- $found
    _ai-energy-benchmark "$@"
}
compdef _ai_energy_benchmark_changes ai-energy-benchmark
"#
        }
        // Flags only: these shells have no simple way to ask a program.
        _ => "",
    }
}
