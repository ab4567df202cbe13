#!/bin/sh
# Installs localprompt from this folder, without a network:  sh install.sh --help
# It only finds the right Python; the folder install beside it does the rest.
set -eu

wanted=@PYTHON@
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

seen=
for python in ${PYTHON:-"python$wanted" python3 python}; do
    command -v "$python" >/dev/null 2>&1 || continue
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if [ "$found" = "$wanted" ]; then
        exec "$python" -I -B "$here/install" "$@"
    fi
    seen="$seen$python is $found; "
done

{
    if [ -n "$seen" ]; then
        echo "error: this bundle is for another version of Python"
    else
        echo "error: there is no Python on this machine"
    fi
    echo "  expected: Python $wanted"
    echo "  found:    ${seen:-neither python$wanted nor python3 on the PATH}"
    echo "  try:      PYTHON=/path/to/python$wanted sh $0, or make a bundle with --python"
} >&2
exit 3
