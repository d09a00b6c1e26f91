#!/usr/bin/env bash
# launch/cluster/*.sbatch without Slurm: srun and scontrol are stand-ins that write down how they were called, the program
# is one that takes SIGUSR1 as a rank does: it unblocks it when it is ready. Argument: the folder of the scripts.
set -euo pipefail
script=$(readlink -f "$1/slurm.sbatch")
mpirun_script=$(readlink -f "$1/mpirun.sbatch")
for one in "$script" "$mpirun_script"; do
  grep -qx '#SBATCH --requeue' "$one"
  grep -qx '#SBATCH --open-mode=append' "$one"
done
grep -qx '#SBATCH --signal=USR1@120' "$script"
grep -qx '#SBATCH --signal=B:USR1@120' "$mpirun_script"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir stand-ins

# Starts two tasks, forwards SIGUSR1 to them as Slurm does before the time limit, and answers with the highest exit code.
cat >stand-ins/srun <<'END'
#!/usr/bin/env bash
if [[ ${*: -1} == --version ]]; then  # on every node, before the ranks
  [[ $BEHAVIOUR != cannot_start ]] || { echo "program: error while loading shared libraries: libmpi.so.40" >&2; exit 127; }
  [[ $BEHAVIOUR != asked_early ]] || exit 138
  exit 0
fi
printf '%s\n' "$@" >srun.called
echo >>starts
echo $$ >srun.pid
while [[ ${1:-} == --* ]]; do shift; done
tasks=()
trap 'kill -USR1 "${tasks[@]}"' USR1
for task in 0 1; do
  SLURM_STEP_ID=0 SLURM_PROCID=$task SLURM_STEP_NUM_TASKS=2 "$@" &
  tasks+=($!)
done
highest=0
for task in "${tasks[@]}"; do
  code=138
  while ((code == 138)); do code=0; wait "$task" || code=$?; done  # 138: the trap came in between
  ((code <= highest)) || highest=$code
done
exit "$highest"
END
cat >stand-ins/scontrol <<'END'
#!/usr/bin/env bash
printf '%s\n' "$*" >>scontrol.called
END
# Of the tasks of one step the first alone answers with 75, after the others, as interlock does.
cat >stand-ins/program <<'END'
#!/usr/bin/env python3
import os, signal, sys, time
task = os.environ.get("SLURM_PROCID", "0")
open("arguments", "w").write(" ".join(sys.argv[1:]))
def stop(*_):
    time.sleep(0.1)
    sys.exit(75 if task == "0" else 0)
signal.signal(signal.SIGUSR1, stop)
open("ready." + task, "w")
behaviour = os.environ["BEHAVIOUR"]
if behaviour == "fail" and task == "1": sys.exit(65)
if behaviour == "hung": sys.exit(71 if task == "0" else 0)
if behaviour == "lost" and task == "1" and not os.path.exists("lost"):
    open("lost", "w")
    os.kill(os.getpid(), signal.SIGKILL)
if behaviour == "load":
    while not os.path.exists("loaded"): time.sleep(0.05)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
while behaviour in ("train", "load"): time.sleep(0.05)
END
chmod +x stand-ins/*
export PATH=$folder/stand-ins:$PATH INTERLOCK=$folder/stand-ins/program SLURM_JOB_ID=4711 SLURM_CPUS_PER_TASK=3

fail() {
  echo "slurm_test: $*" >&2
  cat log >&2
  exit 1
}
expect() { [[ $2 == "$3" ]] || fail "$1 is '$2', expected '$3'"; }

wait_for() {
  local waited=0
  until [[ -e $1 ]]; do
    ((waited++ < 400)) || fail "no $1"
    sleep 0.05
  done
}

# Puts the exit code of the job into `code`. `train` and `load` jobs are asked to stop when both tasks are ready or, at
# `load`, still on their way.
job() {
  rm -f ready.* loaded ./*.called starts lost
  BEHAVIOUR=$1 bash "$script" "${@:2}" >log 2>&1 &
  local shell=$!
  if [[ $1 == train || $1 == load ]]; then
    wait_for ready.0
    wait_for ready.1
    kill -USR1 "$(cat srun.pid)"
    sleep 0.3
    touch loaded
  fi
  code=0
  wait "$shell" || code=$?
}

job train config.toml --set run.steps=9
expect "exit code" "$code" 75
expect "scontrol" "$(cat scontrol.called)" "requeue 4711"
expect "the program's arguments" "$(cat arguments)" \
  "train config.toml --resume --set parallel.threads=3 --set run.steps=9"
grep -qx -- '--kill-on-bad-exit=1' srun.called || fail "a task that fails before MPI is up would be waited for"
grep -qx -- '--mpi=pmix' srun.called || fail "srun without PMIx"
grep -q 'job 4711, start 1, ' log || fail "the log does not count starts"
job load config.toml
expect "exit code of a job that is asked while it loads" "$code" 75
expect "scontrol" "$(cat scontrol.called)" "requeue 4711"
# The last task of an array: SLURM_JOB_ID is the array's own number, under which all tasks would be requeued.
SLURM_ARRAY_JOB_ID=4711 SLURM_ARRAY_TASK_ID=3 job train config.toml --set run.folder=runs/%a
expect "scontrol for a task of an array" "$(cat scontrol.called)" "requeue 4711_3"
grep -q 'run.folder=runs/3$' arguments || fail "%a is not the task's number in $(cat arguments)"
SLURM_RESTART_COUNT=2 job end config.toml
grep -q 'job 4711, start 3, ' log || fail "the log does not count starts"
expect "exit code" "$code" 0
[[ ! -e scontrol.called ]] || fail "requeued a run that is done"
job fail config.toml
expect "exit code" "$code" 65
[[ ! -e scontrol.called ]] || fail "requeued a run that failed"
expect "starts of a run that failed" "$(wc -l <starts)" 1
# A program that one node cannot start is no lost rank.
job cannot_start config.toml
expect "exit code of a program that a node cannot start" "$code" 64
grep -q 'does not start on every node' log || fail "does not say why"
[[ ! -e starts && ! -e scontrol.called ]] || fail "started ranks of a program that cannot start"
job asked_early config.toml
expect "exit code of a job that is asked before its ranks start" "$code" 138
expect "scontrol" "$(cat scontrol.called)" "requeue 4711"
[[ ! -e starts ]] || fail "started ranks of a job that was asked to stop"
# A rank that is lost or hangs: again in the same job, so often and no more.
job lost config.toml
expect "exit code of a run that was lost once" "$code" 0
expect "its starts" "$(wc -l <starts)" 2
grep -q 'a rank was lost or hung (exit code 137); again from the newest checkpoint' log || fail "does not say why"
INTERLOCK_RESTARTS=1 job hung config.toml
expect "exit code of a run that hangs again" "$code" 71
expect "its starts" "$(wc -l <starts)" 2
INTERLOCK_RESTARTS=0 job hung config.toml
expect "starts without restarts" "$(wc -l <starts)" 1
[[ ! -e scontrol.called ]] || fail "requeued a run that was lost"
# One rank per GPU where the job has some, unless it says how many tasks.
export SLURM_JOB_NUM_NODES=2 SLURM_CPUS_ON_NODE=9
SLURM_NTASKS_PER_NODE=2 SLURM_GPUS_ON_NODE=4 job end config.toml
for option in --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=2; do
  grep -qx -- "$option" srun.called || fail "srun without $option: $(tr '\n' ' ' <srun.called)"
done
grep -q 'parallel.threads=2' arguments || fail "not a share of the processors for each GPU: $(cat arguments)"
for given in "2 2" "6 4" "2 0"; do  # as many as GPUs, another number, no GPU
  SLURM_NTASKS_PER_NODE=${given% *} SLURM_GPUS_ON_NODE=${given#* } job end config.toml
  ! grep -q -- --ntasks srun.called || fail "other tasks than asked for: $given"
  grep -qx -- --cpus-per-task=3 srun.called || fail "other processors than asked for: $given"
done
SLURM_CPUS_ON_NODE=3 SLURM_NTASKS_PER_NODE=2 SLURM_GPUS_ON_NODE=4 job end config.toml
expect "exit code with fewer processors than GPUs" "$code" 64
[[ ! -e srun.called ]] || fail "started ranks without processors"
unset SLURM_JOB_NUM_NODES SLURM_CPUS_ON_NODE
job end
expect "exit code without a config" "$code" 2
INTERLOCK=$folder/absent job end config.toml
expect "exit code without a program" "$code" 64

# mpirun.sbatch: Slurm signals the script, which passes it on to one program.
mpirun_job() {
  rm -f ready.* loaded ./*.called
  BEHAVIOUR=$1 SLURM_PROCID=0 bash "$mpirun_script" "${@:2}" >log 2>&1 &
  local shell=$!
  if [[ $1 == train || $1 == load ]]; then
    wait_for ready.0
    kill -USR1 "$shell"
    sleep 0.3
    touch loaded
  fi
  code=0
  wait "$shell" || code=$?
}
for behaviour in train load; do
  mpirun_job "$behaviour" config.toml --set run.steps=9
  expect "exit code of mpirun.sbatch at $behaviour" "$code" 75
  expect "scontrol" "$(cat scontrol.called)" "requeue 4711"
  expect "the program's arguments" "$(cat arguments)" \
    "train config.toml --resume --restarts 5 --set parallel.threads=3 --set run.steps=9"
done
SLURM_ARRAY_JOB_ID=4711 SLURM_ARRAY_TASK_ID=3 mpirun_job train config.toml
expect "scontrol for a task of an array" "$(cat scontrol.called)" "requeue 4711_3"
mpirun_job end config.toml
expect "exit code" "$code" 0
[[ ! -e scontrol.called ]] || fail "requeued a run that is done"
mpirun_job end
expect "exit code without a config" "$code" 2
echo "slurm_test: passed"
