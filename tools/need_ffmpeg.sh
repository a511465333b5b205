#!/bin/sh
# The programs ffmpeg and ffprobe: musdb and museval do not import without them.
# Installs them where this may be done without asking (root on Debian or Ubuntu); else says how.
set -eu

have_both() {
    command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null
}

if have_both; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ffmpeg with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends ffmpeg; } </dev/null >/dev/null || true
    if have_both; then exit 0; fi
fi
cat >&2 <<'MESSAGE'
The tests of the musdb reader need the programs ffmpeg and ffprobe. Install them with one of:
    sudo apt-get install ffmpeg         Debian, Ubuntu
    brew install ffmpeg                 macOS
    conda install -c conda-forge ffmpeg
MESSAGE
exit 1
