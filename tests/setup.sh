#!/usr/bin/env bash
# Sets up what building and testing need: setup.sh [web] [tests]
# Debian packages are installed when we may (root and apt-get), else they are listed; nothing else on the machine is changed.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { # need PROGRAM-OR-PATH PACKAGE
  command -v "$1" >/dev/null 2>&1 || compgen -G "$1" >/dev/null || missing+=("$2")
}

for part in "$@"; do
  case $part in
    web)
      need node nodejs
      need npm npm
      ;;
    tests)
      need chromium chromium
      need '/usr/lib/postgresql/*/bin/postgres' postgresql
      need python3 python3
      need /usr/share/doc/python3-venv python3-venv
      need openssl openssl
      need strace strace
      need unshare util-linux
      ;;
    *) echo "setup.sh knows web and tests, not $part" >&2; exit 2 ;;
  esac
done
# Any Python that can make a virtual environment will do.
if python3 -m venv --help >/dev/null 2>&1; then
  kept=(); for package in "${missing[@]}"; do [ "$package" = python3-venv ] || kept+=("$package"); done; missing=("${kept[@]}")
fi

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
      { dpkg --configure -a && apt-get -f install -y -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
  else
    echo "these Debian packages are missing; install them and try again: ${missing[*]}" >&2
    exit 1
  fi
fi

# older HAVE NEED: whether a version lies before another; unlike a missing program, nothing is installed in its place.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }
want() { # want NAME HAVE NEED REMEDY
  if older "$2" "$3"; then
    echo "$1 is ${2:-missing}, and $3 or newer is needed; $4" >&2
    exit 1
  fi
}

rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
want Rust "$(cargo --version 2>/dev/null | cut -d' ' -f2)" "$rust_needed" 'install it from https://rustup.rs'
for part in "$@"; do
  case $part in
    web)
      node_needed=$(sed -n 's/.*"node": ">=\(.*\)".*/\1/p' web/package.json)
      want Node.js "$(node --version | tr -d v)" "$node_needed" 'install it from https://nodejs.org'
      # The lock file's digest tells whether the installed packages are the right ones.
      stamp=$(sha256sum web/package-lock.json | cut -d' ' -f1)
      if [ "$(cat web/node_modules/.stamp 2>/dev/null)" != "$stamp" ]; then
        (cd web && npm ci --no-audit --no-fund --loglevel=error)
        echo "$stamp" >web/node_modules/.stamp
      fi
      ;;
    tests)
      if ! .venv/bin/python -c 'import aiosmtpd, moto.server, flask' >/dev/null 2>&1; then
        python3 -m venv .venv
        .venv/bin/pip install --quiet --disable-pip-version-check 'aiosmtpd>=1.4.6,<2' 'moto[server]>=5.2,<6'
      fi
      tests/peers.sh .peers
      ;;
  esac
done
