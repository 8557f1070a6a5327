#!/usr/bin/env bash
# Make a virtual environment: scripts/environment.sh FOLDER --constraint FILE [pip install arguments...]
# The exact torch of the constraints file is installed first, so that nothing later can pull in another build of it.
# Uses the interpreter named by PYTHON (default: python3) if it is recent enough, else a newer one found on the PATH.
set -euo pipefail

folder=$1
shift
[ "$1" = --constraint ] || { echo "usage: scripts/environment.sh FOLDER --constraint FILE ..." >&2; exit 2; }
constraints=$2

recent_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python=""
for candidate in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python; do
  if recent_enough "$candidate"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "error: Python 3.11 or later is needed; found: $("${PYTHON:-python3}" --version 2>&1 || true)" >&2
  echo "fix:   install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
  exit 1
fi

if ! recent_enough "$folder/bin/python" || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  # Some distributions ship venv without the bundled pip; then the outer pip installs one.
  "$python" -m venv --clear "$folder" >/dev/null 2>&1 || {
    "$python" -m venv --clear --without-pip "$folder"
    "$python" -m pip --python "$folder/bin/python" install --quiet pip
  }
fi

torch=$(grep -E '^torch==' "$constraints")
"$folder/bin/python" -m pip install --quiet --constraint "$constraints" "$torch"
"$folder/bin/python" -m pip install --quiet "$@"
touch "$folder/.stamp"
