#!/bin/sh
# Double-click (run in a terminal) to open the book from this folder. Ctrl-C stops.
cd "$(dirname "$0")" || exit 1
command -v python3 >/dev/null && exec python3 serve.py --open
echo "This needs Python 3: install the package python3."
printf "Press Enter to close. " && read -r _
