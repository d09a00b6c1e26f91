# What Tab offers in bash: `offered WORD...` prints the completions of the last word of a command line of interlock.
# Sourced by run; $1 there is the installed script.
offered() {
  COMP_WORDS=(interlock "$@")
  COMP_CWORD=$#
  # compopt speaks to a completion in progress, and there is none here.
  _interlock interlock "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null || true
  printf '%s\n' "${COMPREPLY[@]}"
}
offers() {  # offers EXPECTED WORD...: all that is offered, in one line
  local expected=$1 found
  shift
  found=$(offered "$@" | tr '\n' ' ')
  [[ ${found% } == "$expected" ]] || fail "completion of 'interlock $*' offers '${found% }', expected '$expected'"
}
