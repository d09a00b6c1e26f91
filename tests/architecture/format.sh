#!/usr/bin/env bash
# Fails when a source file is not as .clang-format has it. `format.sh --fix` makes it so.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

if ! command -v clang-format >/dev/null; then
  echo "skipped: no clang-format here (launch/setup installs it)"
  exit 77
fi
mode=(--dry-run --Werror)
[[ ${1:-} != --fix ]] || mode=(-i)
find runtime models parallel techniques launch tests \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) -print0 |
  xargs -0 clang-format "${mode[@]}" --style=file
