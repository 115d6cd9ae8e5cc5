//! The scripts that make a shell ask for completions.

/// A shell that can be told how to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl Shell {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "fish" => Some(Self::Fish),
            "zsh" => Some(Self::Zsh),
            _ => None,
        }
    }

    /// What stands between two completions.
    pub(super) fn separator(self) -> &'static str {
        match self {
            Self::Bash => " ",
            Self::Fish | Self::Zsh => "\n",
        }
    }

    /// The script that turns completion on for a program.
    pub(super) fn install(self, program: &str) -> String {
        let name = function_name(program);
        match self {
            Self::Bash => bash(program, &name),
            Self::Zsh => {
                format!("autoload -U +X bashcompinit && bashcompinit\n{}", bash(program, &name))
            }
            Self::Fish => format!(
                "function {name}\n    \
                     env COMP_LINE=(commandline -cp | string collect) {program} -sc query=fish\n\
                 end\n\
                 complete -c {program} -x -a '({name})'\n"
            ),
        }
    }

    /// The script that turns it off again.
    pub(super) fn uninstall(self, program: &str) -> String {
        let name = function_name(program);
        match self {
            Self::Bash | Self::Zsh => format!("complete -r {program}\nunset -f {name}\n"),
            Self::Fish => format!("complete -e -c {program}\nfunctions -e {name}\n"),
        }
    }
}

/// Words are split at blanks only, so that `key=value` is one.
fn bash(program: &str, name: &str) -> String {
    format!(
        "{name}()\n\
         {{\n    \
             local found\n    \
             found=$(COMP_LINE=\"$COMP_LINE\" COMP_POINT=\"$COMP_POINT\" {program} -sc query=bash)\n    \
             COMPREPLY=($(compgen -W \"$found\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n\
         }}\n\
         COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}\n\
         complete -o nospace -o default -F {name} {program}\n"
    )
}

fn function_name(program: &str) -> String {
    let name = program.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("_complete_{}", name.collect::<String>())
}

/// The part of `--hydra-help` about completion, as Hydra prints it.
pub(super) fn help(program: &str) -> String {
    let command =
        if program.ends_with(".py") { format!("python {program}") } else { program.to_owned() };
    let bash = |verb: &str| format!("    eval \"$({command} -sc {verb}=bash)\"\n");
    let fish = |verb: &str| format!("    {command} -sc {verb}=fish | source\n");
    let (install, uninstall) = (bash("install"), bash("uninstall"));
    format!(
        "    Bash - Install:\n{install}    Bash - Uninstall:\n{uninstall}\n    \
         Fish - Install:\n{}    Fish - Uninstall:\n{}\n    \
         Zsh - Install:\n    \
         Zsh is compatible with the Bash shell completion, see the [documentation](https://hydra.cc/docs/1.2/tutorials/basic/running_your_app/tab_completion#zsh-instructions) for details.\n\
         {install}    Zsh - Uninstall:\n{uninstall}",
        fish("install"),
        fish("uninstall"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_asks_the_program_itself() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let script = shell.install("my-app");
            assert!(script.contains("my-app -sc query="), "{script}");
            assert!(script.contains("_complete_my_app"), "{script}");
            assert!(shell.uninstall("my-app").contains("_complete_my_app"));
        }
    }
}
