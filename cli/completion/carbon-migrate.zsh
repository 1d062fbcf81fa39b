#compdef carbon-migrate
# Completion of carbon-migrate in zsh. Written by: carbon-migrate completion zsh
_carbon_migrate() {
    local -a found names others
    found=("${(@f)$("${~words[1]}" completion zsh --line "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ! ${#found} )); then
        # Where no word is known, a file may be meant.
        _files
        return
    fi
    # A name that waits for its value, as folder=, is followed by no space.
    names=("${(@M)found:#*=:*}")
    others=("${(@)found:#*=:*}")
    (( ${#names} )) && _describe -V 'carbon-migrate' names -S ''
    (( ${#others} )) && _describe -V 'carbon-migrate' others
}
if [[ ${funcstack[1]} == _carbon_migrate ]]; then
    _carbon_migrate "$@"
else
    compdef _carbon_migrate carbon-migrate
fi
