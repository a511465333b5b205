#!/bin/sh
# The library FluidSynth and the program flite, by which the tests play SoundFonts and hear a voice.
# Installs them where this may be done without asking (root on Debian or Ubuntu); else says how.
# Those tests are left out where they are missing.
set -eu

have_both() {
    command -v flite >/dev/null && "$1" -c '
import ctypes.util, sys
sys.exit(not ctypes.util.find_library("fluidsynth"))
'
}

if have_both "$1"; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing FluidSynth and flite with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends libfluidsynth3 flite; } </dev/null >/dev/null || true
fi
have_both "$1" || cat >&2 <<'MESSAGE'
SoundFonts or spoken voices are not tested: the library FluidSynth or the program flite is missing. Install them with:
    sudo apt-get install libfluidsynth3 flite   Debian, Ubuntu
    brew install fluid-synth flite              macOS
MESSAGE
