#!/bin/sh
# Installs what tests need beyond Python. The SDKs under test: their packages from npm, and where
# they are missing Node and Chromium from the system's packages. The load generator of the benches.
# A second run finds it done, and needs no network.
#
# What cannot be installed is said here and fails its tests: UNIFY_TEST_WITHOUT=node,browser names
# what to go without. Without the load generator its tests say that they are not run.
set -u
cd "$(dirname "$0")/.." || exit 1

asked() {
    case ",$(printf %s "${UNIFY_TEST_WITHOUT:-}" | tr -d ' ')," in *",$1,"*) return 1 ;; esac
}

here() {
    command -v "$1" >/dev/null 2>&1
}

# Runs apt-get as root, or not at all: nobody is asked for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

listed=""

# Installs some of the system's packages, or says that it could not.
install() {
    echo "Installing $* for tests."
    if here apt-get; then
        [ -n "$listed" ] || as_root apt-get update -qq
        listed=yes
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@" >/dev/null && return
    fi
    echo "Not installed: $*. Tests that need them fail; UNIFY_TEST_WITHOUT leaves them out."
}

# The browser's SDK comes from npm too.
if asked node || asked browser; then
    { here node && here npm; } || install nodejs npm
fi
if asked browser; then
    here chromium || here chromium-browser || here google-chrome || install chromium
fi

here wrk || install wrk

if { asked node || asked browser; } && here npm; then
    to=.tools/sdks
    if ! cmp -s tests/sdks/package-lock.json "$to/installed-lock.json"; then
        mkdir -p "$to"
        cp tests/sdks/package.json tests/sdks/package-lock.json "$to" &&
            npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$to" &&
            # Written last: what failed half-way starts over.
            cp tests/sdks/package-lock.json "$to/installed-lock.json" ||
            echo "Not installed: the packages of tests/sdks/package-lock.json. Their tests fail."
    fi
fi
