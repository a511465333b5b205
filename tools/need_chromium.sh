#!/bin/sh
# need_chromium.sh PYTHON
#
# A Chromium, in which the tests open the listening page. Installs one where this may be done without asking
# (root on Debian or Ubuntu), else with the Playwright of PYTHON; else says how.
set -eu

have_one() {
    for program in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        # Ubuntu's chromium-browser may be there only to say that it is not.
        if [ -n "$program" ] && "$program" --version >/dev/null 2>&1 </dev/null; then return 0; fi
    done
    "$1" -c '
import sys, os
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    sys.exit(not os.path.exists(playwright.chromium.executable_path))
' 2>/dev/null
}

if have_one "$1"; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } </dev/null >/dev/null || true
    if have_one "$1"; then exit 0; fi
    echo "installing chromium with playwright"
    "$1" -m playwright install --with-deps chromium </dev/null >/dev/null || true
    if have_one "$1"; then exit 0; fi
fi
cat >&2 <<MESSAGE
The tests of the listening page need a Chromium or Chrome. Any one of these mends it:
    sudo apt-get install chromium                  Debian
    $1 -m playwright install chromium
    CHROMIUM=/path/to/chromium                     in the environment
MESSAGE
exit 1
