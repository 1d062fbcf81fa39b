# Completion of carbon-migrate in bash. Written by: carbon-migrate completion bash
_carbon_migrate() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <("${1/#\~/$HOME}" completion bash --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    # A name that waits for its value, as folder=, is followed by no space.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
}
# Where no word is known, a file may be meant.
complete -o default -o nosort -F _carbon_migrate carbon-migrate
