#!/bin/sh
# Double-click to open the book from this folder. Close the window to stop.
cd "$(dirname "$0")" || exit 1
if command -v python3 >/dev/null && python3 -c 1 2>/dev/null; then
  exec python3 serve.py --open
fi
if command -v ruby >/dev/null && ruby -rwebrick -e 1 2>/dev/null; then
  (sleep 2 && open http://127.0.0.1:8000/index.html) &
  exec ruby -rwebrick -e '
    types = WEBrick::HTTPUtils::DefaultMimeTypes.merge(
      "js" => "text/javascript", "mjs" => "text/javascript", "wasm" => "application/wasm",
      "svg" => "image/svg+xml")
    WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: 8000, DocumentRoot: ".",
      MimeTypes: types, AccessLog: []).start'
fi
echo "This needs Python 3. Install it from python.org, or type: xcode-select --install"
printf "Press Enter to close. " && read -r _
