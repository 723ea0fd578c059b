#!/bin/sh
# Lets the user's service manager keep the daemon (systemd, or launchd on macOS), or takes that back:
#   install.sh install PROGRAM
#   install.sh remove
# Each can be run again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
units="bursar.socket bursar.service"
# Where things are, as this shell knows it: the service must agree with the commands and hooks.
places="BURSAR_HOME BURSAR_SOCKET XDG_STATE_HOME XDG_CONFIG_HOME"

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

usage() {
  echo "usage: install.sh install PROGRAM | install.sh remove" >&2
  exit 2
}

# A value that can stand in a unit file, a property list and a replacement of sed as it is.
plain() {
  case $2 in
    *[\"\\\$%\|\&\<\>]* | *"
"*) fail "$1 has a character that a service file cannot carry: $2" ;;
    /*) ;;
    *) fail "$1 must be an absolute path, not $2" ;;
  esac
}

value() {
  eval "printf '%s' \"\${$1:-}\""
}

# Writes standard input to a file, whole or not at all.
put() {
  mkdir -p "$(dirname "$1")"
  cat >"$1.part"
  mv -f "$1.part" "$1"
}

# --- systemd ---

unit_folder() {
  echo "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user"
}

need_systemd() {
  command -v systemctl >/dev/null 2>&1 || fail \
    "Missing: systemd. Nothing here can keep the daemon for you." \
    "\`bursar daemon --detach\` serves without it, until the machine or the daemon goes down."
  systemctl --user show-environment >/dev/null 2>&1 || fail \
    "Missing: a systemd user manager that answers (\`systemctl --user\` does not)." \
    "Log in as this user itself, not with su or sudo; containers mostly have none." \
    "\`bursar daemon --detach\` serves without it, until the machine or the daemon goes down."
}

socket_path() {
  if [ -n "${BURSAR_SOCKET:-}" ]; then
    echo "$BURSAR_SOCKET"
  elif [ -n "${BURSAR_HOME:-}" ]; then
    echo "$BURSAR_HOME/run/bursar.sock"
  else
    echo "%t/bursar/bursar.sock"
  fi
}

environment_of_unit() {
  for name in $places; do
    [ -z "$(value "$name")" ] || printf 'Environment="%s=%s"\n' "$name" "$(value "$name")"
  done
}

install_systemd() {
  need_systemd
  folder=$(unit_folder)
  new=$(sed "s|^ListenStream=.*|ListenStream=$(socket_path)|" "$here/bursar.socket")
  if [ -f "$folder/bursar.socket" ] && [ "$(cat "$folder/bursar.socket")" != "$new" ]; then
    # It stands elsewhere from now on; a socket that is in use cannot move.
    systemctl --user stop bursar.service bursar.socket || true
  fi
  printf '%s\n' "$new" | put "$folder/bursar.socket"
  {
    sed "/^ExecStart=/,\$d" "$here/bursar.service"
    environment_of_unit
    sed -n "/^ExecStart=/,\$p" "$here/bursar.service" | sed "s|@PROGRAM@|$1|"
  } | put "$folder/bursar.service"
  systemctl --user daemon-reload
  # shellcheck disable=SC2086
  systemctl --user enable --quiet $units
  # First the socket: who calls from now on waits. Then the daemon, which takes the place of one that serves already.
  systemctl --user start bursar.socket
  systemctl --user restart bursar.service || fail \
    "The daemon does not start. \`systemctl --user status bursar\` says why; systemd goes on trying."
  echo "systemd keeps the daemon. It says what it does in: journalctl --user -u bursar"
  if command -v loginctl >/dev/null 2>&1 && [ "$(loginctl show-user "$(id -u)" -p Linger --value 2>/dev/null)" = no ]; then
    echo "It ends when you log out; to keep it then too: loginctl enable-linger"
  fi
}

remove_systemd() {
  need_systemd
  folder=$(unit_folder)
  if [ -f "$folder/bursar.service" ] || [ -f "$folder/bursar.socket" ]; then
    # shellcheck disable=SC2086
    systemctl --user disable --quiet --now $units
    rm -f "$folder/bursar.service" "$folder/bursar.socket"
    systemctl --user daemon-reload
  fi
}

# --- launchd ---

plist() {
  echo "$HOME/Library/LaunchAgents/bursar.daemon.plist"
}

need_launchd() {
  command -v launchctl >/dev/null 2>&1 || fail "Missing: launchctl. Nothing here can keep the daemon for you."
}

state_folder() {
  if [ -n "${BURSAR_HOME:-}" ]; then
    echo "$BURSAR_HOME"
  elif [ -n "${XDG_STATE_HOME:-}" ]; then
    echo "$XDG_STATE_HOME/bursar"
  else
    echo "$HOME/Library/Application Support/bursar"
  fi
}

environment_of_agent() {
  for name in $places; do
    [ -z "$(value "$name")" ] || printf '\t\t<key>%s</key>\n\t\t<string>%s</string>\n' "$name" "$(value "$name")"
  done
}

unload() {
  launchctl bootout "gui/$(id -u)/bursar.daemon" >/dev/null 2>&1 || true
}

install_launchd() {
  need_launchd
  state=$(state_folder)
  plain "The state folder" "$state"
  (umask 077 && mkdir -p "$state")
  {
    sed "/@ENVIRONMENT@/,\$d; s|@PROGRAM@|$1|" "$here/bursar.daemon.plist"
    environment_of_agent
    sed "1,/@ENVIRONMENT@/d; s|@LOG@|$state/daemon.log|" "$here/bursar.daemon.plist"
  } | put "$(plist)"
  unload
  # launchd takes a moment to forget the old one.
  for pause in 0 1 2 4; do
    sleep "$pause"
    if launchctl bootstrap "gui/$(id -u)" "$(plist)"; then
      echo "launchd keeps the daemon. It says what it does in: $state/daemon.log"
      return
    fi
  done
  fail "launchd does not take $(plist); its reason stands above."
}

remove_launchd() {
  need_launchd
  unload
  rm -f "$(plist)"
}

# --- both ---

case $(uname -s) in
  Darwin) manager=launchd ;;
  *) manager=systemd ;;
esac
case ${1:-} in
  install)
    [ $# = 2 ] || usage
    plain "The program" "$2"
    [ -x "$2" ] || fail "There is no program $2: build it first, with \`make service\`."
    for name in $places; do
      [ -z "$(value "$name")" ] || plain "$name" "$(value "$name")"
    done
    "install_$manager" "$2"
    ;;
  remove)
    [ $# = 1 ] || usage
    "remove_$manager"
    echo "Nobody keeps the daemon any more. Sessions run unmetered until \`bursar daemon --detach\`."
    ;;
  *) usage ;;
esac
