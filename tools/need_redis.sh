#!/bin/sh
# The program redis-server, by which the server's tests lead songs to workers on other machines.
# Installs it where this may be done without asking (root on Debian or Ubuntu); else says how.
# Those tests are left out where it is missing.
set -eu

if command -v redis-server >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing redis-server with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; } </dev/null >/dev/null || true
fi
command -v redis-server >/dev/null || cat >&2 <<'MESSAGE'
Workers on other machines are not tested: there is no redis-server. Install it with one of:
    sudo apt-get install redis-server   Debian, Ubuntu
    brew install redis                  macOS
MESSAGE
