#!/bin/sh
# make_venv.sh FOLDER 3.10|new|old|any INSTALL...
#
# Makes a virtual environment in FOLDER and runs `pip install` with each INSTALL, on the first Python that takes
# them all; does nothing where FOLDER already holds just that. What pip does not find it seeks again with the
# package index $INDEX beside its own, if that is set. The key covers what the content follows from, so that
# another checkout path, interpreter choice or dependency makes it anew.
set -euf
folder=$1 version=$2
shift 2
content=$*

key=$({
    pwd
    echo "$version $content ${PYTHON310:-} ${PYTHON_NEW:-} ${PYTHON:-}"
    cat setup.py tools/find_python.sh tools/make_venv.sh
    sed '/^\[tool\./,$d' pyproject.toml
} | cksum)
if [ "$(cat "$folder/.key" 2>/dev/null)" = "$key" ] && "$folder/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

install_one() { # bytecode is left to be made when it is first needed: most of it never is
    "$folder/bin/python" -m pip --disable-pip-version-check --no-input install -qq --no-compile "$@"
}

install() {
    for step; do
        IFS=' '
        install_one $step || { [ -n "${INDEX:-}" ] && install_one --extra-index-url "$INDEX" $step; } || return 1
    done
}

pythons=$(sh tools/find_python.sh "$version")
IFS='
'
for python in $pythons; do
    echo "$("$python" -V) ($python): installing $content in $folder"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    if install "$@"; then
        echo "$key" >"$folder/.key"
        exit 0
    fi
done
echo "none of these Pythons takes $content:" >&2
printf '%s\n' "$pythons" >&2
exit 1
