#!/bin/sh
# find_python.sh 3.10 | new | old | any
#
# Prints the path of a CPython 3.10, of CPythons from 3.11 on, newest first or (old) oldest first, or of all,
# newest first; one a minor version.
# Only those count that really run (a pyenv shim may not), are final releases and can make virtual
# environments. $PYTHON310, $PYTHON_NEW and $PYTHON name one outright. Where none is installed, uv or conda is
# asked for one; where there is neither, the message says how to get one and the exit code is 1.
set -eu

order=nr
[ "$1" != old ] || order=n
case $1 in
3.10) minor='== 10' variable=PYTHON310 explicit=${PYTHON310:-} name='CPython 3.10' conda_spec='python=3.10' ;;
new | old) minor='>= 11' variable=PYTHON_NEW explicit=${PYTHON_NEW:-} name='CPython 3.11 or newer' conda_spec='python>=3.11' ;;
any) minor='>= 10' variable=PYTHON explicit=${PYTHON:-} name='CPython 3.10 or newer' conda_spec='python>=3.10' ;;
*) echo "usage: find_python.sh 3.10 | new | old | any" >&2 && exit 2 ;;
esac
release=${1##[ano]*} # what uv and pyenv take: 3.10, or nothing for the newest

probe() { # prints "<minor version> <path>" if $1 will do
    answer=$("$1" -c "
import sys, sysconfig, ensurepip, venv
major, its_minor, _, level, _ = sys.version_info
if (
    (major, level, sys.implementation.name) == (3, 'final', 'cpython') and its_minor $minor
    and sys.prefix == sys.base_prefix and not sysconfig.get_config_var('Py_GIL_DISABLED')
):
    print(its_minor, sys.executable)
" 2>/dev/null </dev/null) && [ -n "$answer" ] && echo "$answer" || true
}

installed() {
    IFS=:
    for folder in $PATH; do
        for file in "$folder"/python3.[0-9] "$folder"/python3.[0-9][0-9] "$folder"/python3 "$folder"/python; do
            if [ -x "$file" ]; then probe "$file"; fi
        done
    done
    pyenv=${PYENV_ROOT:-${HOME:-}/.pyenv}
    uv=$(uv python dir 2>/dev/null) || uv=/nonexistent
    for file in "$pyenv"/versions/*/bin/python "$uv"/*/bin/python3 .venv/conda-*/bin/python; do
        if [ -x "$file" ]; then probe "$file"; fi
    done
}

find_all() { # in a subshell: installed() sets IFS
    (installed) | sort -s -k1,1$order | awk '!seen[$1]++' | cut -d' ' -f2-
}

install() {
    if command -v uv >/dev/null && uv python install $release; then return; fi
    for conda in mamba conda micromamba; do
        if command -v $conda >/dev/null; then
            $conda create -y -q -p "$PWD/.venv/conda-$1" -c conda-forge "$conda_spec" && return
        fi
    done
}

if [ -n "$explicit" ]; then
    found=$(probe "$explicit" | cut -d' ' -f2-)
    if [ -z "$found" ]; then
        echo "$variable=$explicit is not a $name that runs and has venv and ensurepip" >&2
        exit 1
    fi
else
    found=$(find_all)
    if [ -z "$found" ]; then
        install "$1" >&2 </dev/null || true
        found=$(find_all)
    fi
fi

if [ -z "$found" ]; then
    cat >&2 <<MESSAGE
No $name that runs and has venv and ensurepip was found. Any one of these mends it:
    pip install uv                 then run make again: it asks uv for the interpreter
    pyenv install ${release:-3}
    conda (or mamba) on PATH       make then asks it for the interpreter
    $variable=/path/to/python      in the environment or on make's command line
MESSAGE
    exit 1
fi
printf '%s\n' "$found"
