/** What the scripts call us with, then `--` and the words. The answer is a candidate a line, a tab and what it is; `:files` stands for names of files. */
export const COMPLETE = "__complete";

// Bash cuts words at = and : and only replaces what follows; the last of what was typed is therefore cut off again.
const BASH = `# bash completion of supermachine; ~/.bashrc: source <(supermachine completion bash)
_supermachine() {
  local IFS=$' \\t\\n' line typed="\${COMP_LINE:0:COMP_POINT}"
  local -a words
  read -ra words <<< "$typed"
  [[ $typed == *[[:space:]] ]] && words+=("")
  local current="\${words[\${#words[@]}-1]}"
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
    else
      COMPREPLY+=("\${line%%$'\\t'*}")
    fi
  done < <("\${words[0]}" ${COMPLETE} -- "\${words[@]:1}" 2>/dev/null)
  local kept="\${current%"\${current##*[=:]}"}"
  [[ -z $kept ]] || COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
}
complete -F _supermachine supermachine
`;

const ZSH = `#compdef supermachine
# zsh completion of supermachine; ~/.zshrc: source <(supermachine completion zsh), after compinit
_supermachine() {
  local line files
  local -a values
  for line in "\${(@f)$("\${(Q)words[1]}" ${COMPLETE} -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      '') ;;
      :files) files=1 ;;
      *$'\\t'*) values+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
      *) values+=("\${line//:/\\\\:}") ;;
    esac
  done
  (( $#values )) && _describe supermachine values
  [[ -n $files ]] && _files
}
if [[ $funcstack[1] == _supermachine ]]; then _supermachine "$@"; else compdef _supermachine supermachine; fi
`;

const FISH = `# fish completion of supermachine; supermachine completion fish > ~/.config/fish/completions/supermachine.fish
function __supermachine_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] ${COMPLETE} -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c supermachine -f -a '(__supermachine_complete)'
`;

/** What makes each shell complete. */
export const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
