#!/bin/sh
# cron-load.sh JOBFILE [OPTIONS of carbon-migrate]: works through a job file once a night, and says something only where a
# person has to look, so that cron mails that and nothing else. As a line of a crontab, tried each ten minutes of the night:
#
#   */10 1-5 * * *  cd /etc/carbon-migrate && XDG_STATE_HOME=/var/lib /usr/local/bin/cron-load.sh north.toml --profile north

file=$1
shift
state=${XDG_STATE_HOME:-$HOME/.local/state}/carbon-migrate
ended=$state/cron-load-$(basename "$file") # there since the load of this night has ended
said=$(mktemp) && mkdir -p "$state" || exit 1
trap 'rm -f "$said"' EXIT

if [ -n "$(find "$ended" -mmin -720 2>/dev/null)" ]; then
    exit 0
fi
# While a load works, a further start does nothing. The lock is the load's own: it holds also where this script is killed.
flock --nonblock --conflict-exit-code 75 "$file" carbon-migrate run "$file" --yes --quiet "$@" >"$said" 2>&1
code=$?

case $code in
    75) exit 0 ;;                # the start before still works
    3 | 137 | 143) exit $code ;; # stopped by the system, or killed: the next start goes on where it stood
esac
touch "$ended"
case $code in
    0 | 130) ;; # done, or stopped by somebody
    *)          # 1, 2, 4, 70: a person has to look
        cat "$said"
        echo "carbon-migrate run $file ended with exit code $code"
        ;;
esac
exit $code
