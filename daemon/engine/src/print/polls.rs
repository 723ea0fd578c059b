//! Commands that ask how something outside stands, and change nothing: agents wait by running them again (DETECTION,
//! waiting calls; complaints about breakers that stop polling lead its table of peers).

/// Programs that tell how something stands, whatever follows.
const PROGRAMS: [&str; 21] = [
    "pg_isready",
    "ps",
    "pgrep",
    "pidof",
    "jobs",
    "wait",
    "watch",
    "ping",
    "lsof",
    "ss",
    "netstat",
    "nvidia-smi",
    "squeue",
    "sacct",
    "sinfo",
    "qstat",
    "bjobs",
    "wait-for-it",
    "wait-for-it.sh",
    "pueue",
    "uptime",
];

/// Programs with the words, one of which must stand among the first that follow.
const WITH_VERBS: [(&[&str], &[&str]); 14] = [
    (&["kubectl", "oc"], &["get", "rollout", "wait", "top", "describe"]),
    (&["docker", "podman", "nerdctl"], &["ps", "inspect", "ls", "wait", "stats"]),
    (&["docker-compose"], &["ps"]),
    (&["gh"], &["run", "workflow", "checks", "status"]),
    (&["glab"], &["status", "view", "list"]),
    (
        &["systemctl", "service", "supervisorctl", "vagrant", "helm"],
        &["status", "is-active", "is-failed", "list"],
    ),
    (&["launchctl"], &["list", "print"]),
    (&["pm2"], &["status", "list", "ls", "jlist", "show"]),
    (&["mysqladmin", "redis-cli", "valkey-cli"], &["ping", "status"]),
    (&["nc", "ncat"], &["-z", "-zv", "-vz"]),
    (
        &["gcloud", "az", "doctl", "flyctl", "fly", "heroku", "vercel", "netlify"],
        &["describe", "list", "show", "status", "ps", "inspect"],
    ),
    (&["argocd"], &["get", "wait", "list"]),
    (&["nomad", "consul"], &["status", "members"]),
    (&["terraform", "pulumi"], &["show"]),
];

/// Words in the address or the format of a request that asks whether something is up.
const HEALTH: [&str; 7] = ["health", "ready", "alive", "livez", "ping", "status", "http_code"];

/// Options with which a request sends something, or keeps what comes.
const SENDS: [&str; 12] = [
    "-X",
    "-d",
    "--data",
    "--data-raw",
    "--data-binary",
    "--json",
    "-F",
    "--form",
    "-T",
    "--upload-file",
    "--request",
    "-O",
];

/// So many words of a command are looked at.
const LOOKED_AT: usize = 12;

/// Programs that show something and change nothing, whatever follows but a file to write to.
const SHOWS: [&str; 22] = [
    "cat",
    "tail",
    "head",
    "ls",
    "wc",
    "stat",
    "du",
    "df",
    "find",
    "tree",
    "grep",
    "egrep",
    "rg",
    "jq",
    "file",
    "test",
    "[",
    "date",
    "journalctl",
    "dmesg",
    "sha256sum",
    "md5sum",
];

/// Programs with the words, one of which must stand among the first that follow for it to change nothing.
const SHOWS_WITH: [(&[&str], &[&str]); 4] = [
    (&["git"], &["log", "status", "show", "diff", "fetch", "ls-remote", "rev-parse"]),
    (&["kubectl", "oc", "docker", "podman", "docker-compose", "compose"], &["logs"]),
    (&["npm", "pnpm", "yarn", "pip", "cargo", "gem"], &["view", "info", "show", "search"]),
    (&["gh"], &["view", "list", "api"]),
];

/// The first command of several, which is what all of it is about, behind a change of folder: its program and its words.
fn first_command(command: &str) -> Option<(&str, Vec<&str>)> {
    let mut words = command.split_whitespace().take(LOOKED_AT).peekable();
    // `cd app && …`, `sudo …`, `timeout 5 …`, `LANG=C …`
    loop {
        match words.peek().copied() {
            Some("cd") => {
                words.by_ref().find(|word| ["&&", ";"].contains(word));
            }
            Some("sudo" | "env") => drop(words.next()),
            Some("timeout") => drop(words.by_ref().nth(1)),
            Some(word) if is_assignment(word) => drop(words.next()),
            _ => break,
        }
    }
    let program = words.next()?;
    let program = program.rsplit('/').next().unwrap_or(program);
    Some((program, words.take_while(|word| !["|", "&&", "||", ";"].contains(word)).collect()))
}

fn is_request(program: &str) -> bool {
    ["curl", "wget", "http", "https", "httpie"].contains(&program)
}

fn sends(rest: &[&str]) -> bool {
    rest.iter().any(|word| SENDS.contains(word) || ["POST", "PUT", "DELETE", "PATCH"].contains(word))
}

fn has_verb(programs: &[(&[&str], &[&str])], program: &str, rest: &[&str]) -> bool {
    let verb = |verbs: &[&str]| rest.iter().take(4).any(|word| verbs.contains(&word.trim_end_matches(';')));
    programs.iter().any(|(programs, verbs)| programs.contains(&program) && verb(verbs))
}

/// Whether a command only shows something. Read again after a wait, it is a poll by two calls.
pub(super) fn is_look(command: &str) -> bool {
    let Some((program, rest)) = first_command(command) else { return false };
    if is_request(program) {
        return !sends(&rest);
    }
    let writes = rest.iter().any(|word| word.starts_with('>'));
    !writes && (SHOWS.contains(&program) || has_verb(&SHOWS_WITH, program, &rest))
}

/// Whether a command only asks how something stands.
pub(super) fn is_poll(command: &str) -> bool {
    let Some((program, rest)) = first_command(command) else { return false };
    if is_request(program) {
        return rest.iter().any(|word| HEALTH.iter().any(|health| word.contains(health))) && !sends(&rest);
    }
    if ["until", "while", "for"].contains(&program) {
        return command.contains("sleep ");
    }
    if program == "aws" {
        let describes = |word: &&str| {
            ["wait", "ls"].contains(word)
                || ["describe-", "get-", "list-", "batch-get-"].iter().any(|b| word.starts_with(b))
        };
        return rest.iter().take(3).any(describes);
    }
    PROGRAMS.contains(&program) || has_verb(&WITH_VERBS, program, &rest)
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::is_poll;

    #[test]
    fn what_asks_is_a_poll_and_what_does_something_is_none() {
        for asks in [
            "kubectl get pods -n web",
            "kubectl -n web rollout status deploy/web --timeout=10s",
            "gh run watch 99 --exit-status",
            "gh pr checks 12",
            "cd app && docker compose ps",
            "sudo systemctl is-active app",
            "timeout 5 pg_isready -h db",
            "nc -z localhost 5432; echo $?",
            "ps aux | grep train.py",
            "curl -sf http://localhost:8080/health",
            "curl -s -o /dev/null -w '%{http_code}' http://localhost:3000/",
            "LANG=C squeue -u me",
            "until curl -sf localhost:3000; do sleep 2; done",
            "aws cloudformation describe-stacks --stack-name s",
            "gcloud builds describe 42 --format='value(status)'",
        ] {
            assert!(is_poll(asks), "{asks}");
        }
        for does in [
            "",
            "cargo test",
            "git status --short",
            "kubectl apply -f x.yaml",
            "docker build .",
            "curl -s https://api.test/users",
            "curl -X POST http://localhost/health",
            "gh pr create --fill",
            "gh issue view 7",
            "systemctl restart app",
            "cat status.md",
            "make serve",
            "grep -r kubectl get",
        ] {
            assert!(!is_poll(does), "{does}");
        }
    }
}
