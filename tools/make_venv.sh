#!/bin/sh
# make_venv.sh FOLDER 3.10|new EXTRAS
#
# Makes a virtual environment in FOLDER with this package, editable, and its EXTRAS; does nothing where
# FOLDER already holds just that. Its key covers what the content follows from, so that another checkout
# path, interpreter choice or dependency makes it anew.
set -eu
folder=$1 version=$2 extras=$3

key=$({
    pwd
    echo "$version $extras ${PYTHON310:-} ${PYTHON_NEW:-}"
    cat setup.py tools/*.sh
    sed '/^\[tool\./,$d' pyproject.toml
} | cksum)
if [ "$(cat "$folder/.key" 2>/dev/null)" = "$key" ] && "$folder/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

pythons=$(sh tools/find_python.sh "$version")
IFS='
'
for python in $pythons; do
    echo "$("$python" -V) ($python): installing xumx[$extras] in $folder"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    if "$folder/bin/python" -m pip --disable-pip-version-check --no-input install -qq -e ".[$extras]"; then
        echo "$key" >"$folder/.key"
        exit 0
    fi
    echo "xumx[$extras] does not install on $("$python" -V)" >&2
done
exit 1
