# Conversations: turns through a pipe, sessions, --chat of generate. What a terminal does is in chat_tty.sh.
. "${BASH_SOURCE%/*}/cases.bash"
export HOME=$T
finish
