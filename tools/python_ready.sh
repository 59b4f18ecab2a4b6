#!/bin/sh
# Makes a virtual environment, or says in one line what to install: python_ready.sh PYTHON FOLDER
python=$1
folder=$2
command -v "$python" >/dev/null 2>&1 || {
  echo "Python is missing. Install it: sudo apt install python3 python3-venv" >&2
  exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "Python 3.10 or newer is needed, $("$python" --version) is here. Name another: make PYTHON=python3.11 ..." >&2
  exit 1
}
"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || {
  echo "Python's venv is missing. Install it: sudo apt install python3-venv" >&2
  exit 1
}
if ! [ -x "$folder/bin/python" ]; then
  "$python" -m venv "$folder" || exit 1
fi
