# Sourced by scripts/quickstart and scripts/test: the set-up they share. Expects `set -euo pipefail`.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Compile jobs: one per core, but no more than one per GiB of memory that is free (a compiler takes up to one GiB).
compile_jobs() {
  local cores gib limit
  cores="$(nproc)"
  gib="$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)"
  if [[ -r /sys/fs/cgroup/memory.max ]]; then
    limit="$(</sys/fs/cgroup/memory.max)"
    if [[ "$limit" != max ]] && ((limit / 1073741824 < gib)); then gib=$((limit / 1073741824)); fi
  fi
  if ((gib < 1)); then gib=1; fi
  echo $((cores < gib ? cores : gib))
}

# The value of an entry of a build folder's cache, or nothing.
cached() {
  local folder="$1" entry="$2"
  [[ -f "$folder/CMakeCache.txt" ]] || return 0
  sed -n "s/^$entry:[A-Z]*=//p" "$folder/CMakeCache.txt"
}

# configure PRESET FOLDER [CMAKE ARGUMENT]...: configures FOLDER, the build folder of PRESET. A folder that another
# generator or another checkout left behind is configured afresh, which CMake would otherwise refuse.
configure() {
  local preset="$1" folder="$2"
  shift 2
  local home generator
  home="$(cached "$folder" CMAKE_HOME_DIRECTORY)"
  generator="$(cached "$folder" CMAKE_GENERATOR)"
  if [[ -n "$home" && ("$home" != "$root" || "$generator" != Ninja) ]]; then
    say "$folder was configured elsewhere or with another generator: starting afresh"
    set -- --fresh "$@"
  fi
  if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER="${CMAKE_CXX_COMPILER_LAUNCHER-ccache}"; fi
  say "configuring preset '$preset' in $folder"
  (cd "$root" && cmake --preset "$preset" "$@")
}

# build FOLDER [CMAKE ARGUMENT]...
build() {
  local folder="$1" jobs
  shift
  jobs="$(compile_jobs)"
  say "building in $folder with $jobs job(s)"
  cmake --build "$folder" --parallel "$jobs" "$@"
}
