//! `systemd/install.sh`: the service manager is told, and what is missing is said. The managers here are scripts that
//! write down what they are asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use bursar_tests::daemon::built_binaries;
use bursar_tests::process::{Finished, Running};
use bursar_tests::world::World;

use crate::common::SOON;

/// The script and a world for it, with managers of our own first in `PATH`.
struct Script {
    world: World,
}

impl Script {
    /// On a system that `uname` calls so.
    fn on(system: &str) -> Self {
        let script = Self { world: World::new() };
        script.program("uname", &format!("echo {system}"));
        script.manager("systemctl", "exit 0");
        script.manager("launchctl", "exit 0");
        script.manager("loginctl", "echo no");
        script
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.world.bin().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a program");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
    }

    /// A manager that writes down what it is asked, and then does this.
    fn manager(&self, name: &str, then: &str) {
        self.program(
            name,
            &format!("echo \"{name} $*\" >>{}\n{then}", self.world.root().join("asked").display()),
        );
    }

    /// What the managers were asked since the last time, but questions.
    fn asked(&self) -> Vec<String> {
        let path = self.world.root().join("asked");
        let asked = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        asked.lines().filter(|line| !line.contains(" show-")).map(str::to_owned).collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/install.sh");
        let mut command = self.world.command("/bin/sh");
        command.arg(script).args(args);
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Finished {
        Running::run(self.command(args), "install.sh", SOON)
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> Finished {
        let finished = self.run(args);
        assert_eq!(finished.code, Some(0), "{args:?}: {finished:?}");
        finished
    }

    fn units(&self) -> PathBuf {
        self.world.home().join(".config/systemd/user")
    }

    fn unit(&self, name: &str) -> String {
        fs::read_to_string(self.units().join(name)).expect("a unit")
    }
}

fn program() -> String {
    built_binaries().join("bursar").display().to_string()
}

const STARTED: [&str; 4] = [
    "systemctl --user daemon-reload",
    "systemctl --user enable --quiet bursar.socket bursar.service",
    "systemctl --user start bursar.socket",
    "systemctl --user restart bursar.service",
];

#[test]
fn systemd_gets_units_that_name_the_program_and_starts_them() {
    let script = Script::on("Linux");
    for _ in 0..2 {
        let said = script.done(&["install", &program()]).stdout;
        assert!(said.starts_with("systemd keeps the daemon."), "{said}");
        assert!(said.contains("loginctl enable-linger"), "{said}");
        assert_eq!(script.asked(), STARTED);
        let service = script.unit("bursar.service");
        assert!(service.contains(&format!("\nExecStart=\"{}\" daemon\n", program())), "{service}");
        assert!(!service.contains("@PROGRAM@") && !service.contains("Environment="), "{service}");
        assert!(script.unit("bursar.socket").contains("\nListenStream=%t/bursar/bursar.sock\n"));
        assert_eq!(fs::read_dir(script.units()).expect("the units").count(), 2, "nothing else is left");
    }
    let said = script.done(&["remove"]).stdout;
    assert!(said.contains("unmetered until `bursar daemon --detach`"), "{said}");
    assert_eq!(fs::read_dir(script.units()).expect("the units").count(), 0);
    assert_eq!(
        script.asked(),
        [
            "systemctl --user disable --quiet --now bursar.socket bursar.service",
            "systemctl --user daemon-reload"
        ]
    );
    script.done(&["remove"]);
    assert_eq!(script.asked(), [""; 0]);
}

#[test]
fn the_units_are_ones_that_systemd_understands() {
    let script = Script::on("Linux");
    script.done(&["install", &program()]);
    // The real one, past the scripts of this world.
    let Ok(tool) = fs::canonicalize("/usr/bin/systemd-analyze") else {
        eprintln!("not tested: there is no systemd-analyze (Debian: apt-get install systemd)");
        return;
    };
    let mut command = script.world.command(tool);
    command.args(["verify", "--user", "--man=no"]);
    command.args(["bursar.socket", "bursar.service"].map(|unit| script.units().join(unit)));
    command.env("XDG_RUNTIME_DIR", script.world.root());
    let said = Running::run(command, "systemd-analyze", SOON);
    let about_ours: Vec<_> = said.stderr.lines().filter(|line| line.contains("bursar")).collect();
    assert_eq!((said.code, about_ours), (Some(0), vec![]), "{said:?}");
}

#[test]
fn the_service_agrees_with_the_shell_about_where_things_are() {
    let script = Script::on("Linux");
    script.done(&["install", &program()]);
    script.asked();
    let mut command = script.command(&["install", &program()]);
    let config = script.world.home().join("my config");
    command.env("XDG_CONFIG_HOME", &config).env("BURSAR_HOME", "/srv/b");
    assert_eq!(Running::run(command, "install.sh", SOON).code, Some(0));
    assert_eq!(script.asked(), STARTED);
    let unit = |name: &str| fs::read_to_string(config.join("systemd/user").join(name)).expect("a unit");
    assert!(unit("bursar.socket").contains("\nListenStream=/srv/b/run/bursar.sock\n"));
    let service = unit("bursar.service");
    assert!(service.contains("\nEnvironment=\"BURSAR_HOME=/srv/b\"\n"), "{service}");
    assert!(
        service.contains(&format!("\nEnvironment=\"XDG_CONFIG_HOME={}\"\n", config.display())),
        "{service}"
    );
    assert!(service.contains("\n[Install]\nWantedBy=default.target\n"), "{service}");
    // A socket that moves is let go first.
    let mut command = script.command(&["install", &program()]);
    command.env("BURSAR_SOCKET", "/run/b.sock");
    assert_eq!(Running::run(command, "install.sh", SOON).code, Some(0));
    let asked = script.asked();
    assert_eq!(asked[0], "systemctl --user stop bursar.service bursar.socket");
    assert_eq!(asked[1..], STARTED);
    assert!(script.unit("bursar.socket").contains("\nListenStream=/run/b.sock\n"));
}

#[test]
fn what_is_missing_is_said_and_nothing_is_left_behind() {
    let script = Script::on("Linux");
    script.manager("systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    for args in [["install", &program()].as_slice(), &["remove"]] {
        let said = script.run(args);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.starts_with("Missing: a systemd user manager that answers"), "{}", said.stderr);
        assert!(said.stderr.contains("`bursar daemon --detach`"), "{}", said.stderr);
    }
    script.manager("systemctl", "case \"$*\" in *restart*) exit 1;; esac");
    let said = script.run(&["install", &program()]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.starts_with("The daemon does not start. `systemctl --user status"),
        "{}",
        said.stderr
    );
    for (args, code, reason) in [
        (["install", "/nowhere/bursar"].as_slice(), 1, "There is no program /nowhere/bursar"),
        (&["install", "target/release/bursar"], 1, "must be an absolute path"),
        (&["install", "/a\"b/bursar"], 1, "has a character that a service file cannot carry"),
        (&["install", "/a%b/bursar"], 1, "has a character that a service file cannot carry"),
        (&["install", "/a\nb/bursar"], 1, "has a character that a service file cannot carry"),
        (&["install"], 2, "usage:"),
        (&[], 2, "usage:"),
    ] {
        let fresh = Script::on("Linux");
        let said = fresh.run(args);
        assert_eq!(said.code, Some(code), "{args:?}: {said:?}");
        assert!(said.stderr.contains(reason), "{args:?}: {}", said.stderr);
        assert!(!fresh.units().exists() && fresh.asked().is_empty(), "{args:?}");
    }
}

#[test]
fn launchd_gets_an_agent_that_names_the_program_and_loads_it() {
    let script = Script::on("Darwin");
    let agent = script.world.home().join("Library/LaunchAgents/bursar.daemon.plist");
    let state = script.world.home().join("Library/Application Support/bursar");
    for home in [None, Some("/srv/b")] {
        let mut command = script.command(&["install", &program()]);
        command.envs(home.map(|home| ("XDG_CONFIG_HOME", home)));
        let said = Running::run(command, "install.sh", SOON);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.starts_with("launchd keeps the daemon."), "{}", said.stdout);
        let text = fs::read_to_string(&agent).expect("the agent");
        assert!(
            text.contains(&format!("<string>{}</string>\n\t\t<string>daemon</string>", program())),
            "{text}"
        );
        assert!(text.contains(&format!("<string>{}/daemon.log</string>", state.display())), "{text}");
        assert!(text.ends_with("</dict>\n</plist>\n") && !text.contains('@'), "{text}");
        for tag in ["dict", "key", "string", "array", "integer"] {
            let count = |tag: String| text.matches(&tag).count();
            assert_eq!(count(format!("<{tag}>")), count(format!("</{tag}>")), "{tag}: {text}");
        }
        let environment = "<dict>\n\t\t<key>XDG_CONFIG_HOME</key>\n\t\t<string>/srv/b</string>\n\t</dict>";
        assert_eq!(text.contains(environment), home.is_some(), "{text}");
        let asked = script.asked();
        assert!(asked[0].starts_with("launchctl bootout gui/"), "{asked:?}");
        assert!(
            asked[1].starts_with("launchctl bootstrap gui/") && asked[1].ends_with("/bursar.daemon.plist"),
            "{asked:?}"
        );
        assert_eq!(asked.len(), 2);
    }
    assert_eq!(fs::metadata(&state).expect("the state").permissions().mode() & 0o777, 0o700);
    script.done(&["remove"]);
    assert!(!agent.exists());
    script.done(&["remove"]);
}
