#!/bin/sh
# make_venv.sh FOLDER 3.10|new|any INSTALL...
#
# Makes a virtual environment in FOLDER and runs `pip install` with each INSTALL, on the first Python that takes
# them all; does nothing where FOLDER already holds just that. Where no Python does, it tries again with the
# package index $INDEX beside pip's own, if that is set. The key covers what the content follows from, so that
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

install() {
    for step; do
        IFS=' '
        "$folder/bin/python" -m pip --disable-pip-version-check --no-input install -qq $index $step || return 1
    done
}

pythons=$(sh tools/find_python.sh "$version")
for index in '' ${INDEX:+"--extra-index-url $INDEX"}; do
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
done
echo "none of these Pythons takes $content:" >&2
printf '%s\n' "$pythons" >&2
exit 1
