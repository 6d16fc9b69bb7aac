#!/usr/bin/env bash
# Installs what the interoperability tests run in Node, into node_modules beside this
# file. It needs node, npm and the npm registry; the tests need neither npm nor a
# network. Running it again does nothing.
#
# @degenerate/realtime cannot be installed with npm install, because packages that it
# depends on were never published. Its tarball is unpacked here instead, and standins/
# replaces the missing packages as far as its code uses them.
set -euo pipefail
cd "$(dirname "$0")"

package=@degenerate/realtime
version=0.7.1
# SHA-512 of the published tarball, as the registry states it.
integrity=cHkEEngm3JdtQMyveHwj5ErakOrKSdbla1ouIKPxYPCvos6CZ3fWt4K7LvxtQzsgiLF5+RGFQJ54lkWYSntVuA==

ready=node_modules/.ready
wanted=$(cat setup.sh package.json | cksum)
if [ "$(cat "$ready" 2>/dev/null)" = "$wanted" ]; then
	exit 0
fi

rm -rf node_modules
npm install --no-package-lock --no-audit --no-fund --loglevel=error

download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
tarball=$download/$(npm pack --silent --pack-destination "$download" "$package@$version")
got=$(node -e 'process.stdout.write(require("crypto").createHash("sha512").update(require("fs").readFileSync(process.argv[1])).digest("base64"))' "$tarball")
if [ "$got" != "$integrity" ]; then
	echo "setup.sh: the tarball of $package@$version is not the published one: its SHA-512 is $got" >&2
	exit 1
fi
mkdir -p "node_modules/$package"
tar -xzf "$tarball" -C "node_modules/$package" --strip-components=1

node -e "require('$package')"
echo "$wanted" >"$ready"
