# Serves the folder that it stands in, on this machine only, and opens it in the browser.
# Needs nothing but Windows. Close the window to stop.
$root = Split-Path -Parent $MyInvocation.MyCommand.Path
$types = @{
  '.html' = 'text/html; charset=utf-8'; '.js' = 'text/javascript'; '.mjs' = 'text/javascript'
  '.css' = 'text/css'; '.wasm' = 'application/wasm'; '.json' = 'application/json'
  '.svg' = 'image/svg+xml'; '.png' = 'image/png'; '.woff2' = 'font/woff2'
  '.zip' = 'application/zip'; '.gz' = 'application/gzip'; '.ipynb' = 'application/json'
}
foreach ($port in 8000..8049) {
  $listener = New-Object System.Net.HttpListener
  $listener.Prefixes.Add("http://localhost:$port/")
  try { $listener.Start(); break } catch { $listener = $null }
}
if (-not $listener) { Write-Host 'No free port from 8000 to 8049.'; Read-Host; exit 1 }
Write-Host "The book is at http://localhost:$port/   (close this window to stop)"
Start-Process "http://localhost:$port/index.html"
while ($listener.IsListening) {
  $context = $listener.GetContext()
  $answer = $context.Response
  try {
    $path = [Uri]::UnescapeDataString($context.Request.Url.AbsolutePath).TrimStart('/')
    if ($path -eq '' -or $path.EndsWith('/')) { $path += 'index.html' }
    $file = [IO.Path]::GetFullPath((Join-Path $root $path))
    $inside = $file.StartsWith([IO.Path]::GetFullPath($root) + [IO.Path]::DirectorySeparatorChar)
    if ($inside -and (Test-Path -LiteralPath $file -PathType Leaf)) {
      $bytes = [IO.File]::ReadAllBytes($file)
      $type = $types[[IO.Path]::GetExtension($file).ToLower()]
      if ($type) { $answer.ContentType = $type }
      $answer.ContentLength64 = $bytes.Length
      $answer.OutputStream.Write($bytes, 0, $bytes.Length)
    } else {
      $answer.StatusCode = 404
    }
  } catch { } # the browser left before the file was sent
  try { $answer.Close() } catch { }
}
