# Completion of carbon-migrate in fish. Written by: carbon-migrate completion fish
function __carbon_migrate_words
    set -l program (commandline -opc)[1]
    set -l found ($program completion fish --line (commandline -cp | string collect) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        # Where no word is known, a file may be meant.
        __fish_complete_path (commandline -ct)
    end
end
complete -c carbon-migrate -f -k -a '(__carbon_migrate_words)'
