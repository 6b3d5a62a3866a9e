#!/bin/sh
# Installs what is missing: Debian packages (debian-packages.txt) and npm packages (package-lock.json). Idempotent, and done in
# a moment when nothing is missing.
set -eu
cd "$(dirname "$0")/.."

missing=
while read -r name _; do
  case $name in '' | \#*) continue ;; esac
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing="$missing $name"
done <scripts/debian-packages.txt

if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup: these Debian packages are missing, and installing them needs root:$missing" >&2
    exit 1
  fi
  echo "setup: installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  # Servers that tests start by themselves must not run on this host, neither now nor after its next boot.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  # The package lists may be old, or not there at all.
  # shellcheck disable=SC2086
  apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get update -q >/dev/null
    apt-get install -y -q --no-install-recommends $missing >/dev/null
  }
  for name in $missing; do
    case $name in
      nginx | redis-server | postgresql | unbound | mosquitto | iperf3)
        [ ! -e "/etc/init.d/$name" ] && [ ! -e "/lib/systemd/system/$name.service" ] || update-rc.d "$name" disable >/dev/null 2>&1 || true
        ;;
    esac
  done
fi

# npm leaves this file behind when it has finished; an older one means that the lock file has changed since.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  echo 'setup: installing npm packages'
  # Not `npm ci`: it refuses a lock file that leaves out optional packages of other platforms. Versions and hashes of the lock
  # file hold here too, and nothing is written to it.
  npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
