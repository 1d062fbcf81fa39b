#!/bin/sh
# What an administrator does first with an installed program, in an empty folder: each command as it is typed.
# The last line is the name of the run. `mock serve` writes its address into a pipe, which is read when it is there.
set -eu
carbon-migrate demo --quick
carbon-migrate selftest --rounds 1 --seed 3 --rows 20
carbon-migrate mock init billing.fdb --abonents 300
mkfifo address
carbon-migrate mock serve billing.fdb --port 0 >address &
trap 'kill $!' EXIT
read -r CARBON_MIGRATE_API_URL <address
export CARBON_MIGRATE_API_URL CARBON_MIGRATE_DATABASE=billing.fdb
carbon-migrate doctor
carbon-migrate run balances .demo/balances.csv --yes --json >totals.json
run=$(carbon-migrate status --json | sed -n 's/.*"run": *"\([^"]*\)".*/\1/p')
carbon-migrate verify "$run"
carbon-migrate report "$run" --lang ru --pdf
echo "$run"
