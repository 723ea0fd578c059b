//! The status line in Claude Code's settings. One that stands there is wrapped: ours has its whole entry in an argument,
//! shows what it prints, and gives it back when it is taken out.

use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::fields::{Ordered, indented, raw};
use super::settings::Entry;

/// The field of the settings.
const FIELD: &str = "statusLine";

/// What comes before the former entry in our command.
const WAS: &str = " --was ";

/// How often it is drawn, in seconds, so that a hold shows at once and its end too.
const REFRESH_S: u64 = 1;

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn unquoted(words: &str) -> Option<String> {
    let word = words.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(word.replace(r"'\''", "'"))
}

/// The command of an entry that is ours.
fn ours(entry: &RawValue, state: &Path) -> Option<String> {
    let value: Value = serde_json::from_str(entry.get()).ok()?;
    let command = value.get("command")?.as_str()?;
    let ours = format!(" --state {}", quoted(&state.to_string_lossy()));
    let head = command.split(WAS).next()?;
    (head.contains(" statusline --socket ") && head.ends_with(&ours)).then(|| command.to_owned())
}

/// Whether ours stands there.
pub(super) fn stands_in(fields: &Ordered, state: &Path) -> bool {
    fields.get(FIELD).is_some_and(|entry| ours(entry, state).is_some())
}

/// Whether what stands there has no command that could be wrapped. `fields` are those of others.
pub(super) fn is_odd(fields: &Ordered) -> bool {
    fields.get(FIELD).is_some_and(|entry| command_of(entry).is_none())
}

fn command_of(entry: &RawValue) -> Option<String> {
    let value: Value = serde_json::from_str(entry.get()).ok()?;
    let is_command = value.get("type").is_some_and(|kind| kind == "command");
    value.get("command").filter(|_| is_command)?.as_str().map(str::to_owned)
}

/// Takes ours out; what it wraps is as it was.
pub(super) fn take_out(fields: &mut Ordered, state: &Path) {
    let Some(command) = fields.get(FIELD).and_then(|entry| ours(entry, state)) else { return };
    let was = command.split_once(WAS).and_then(|(_, was)| unquoted(was));
    match was.and_then(|was| RawValue::from_string(was).ok()) {
        Some(was) => fields.set(FIELD, was),
        None => fields.remove(FIELD),
    }
}

/// Puts ours in, around what stands there; `fields` are those of others.
pub(super) fn put_in(fields: &mut Ordered, program: &Path, entry: &Entry) {
    if is_odd(fields) {
        return;
    }
    let word = |path: &Path| quoted(&path.to_string_lossy());
    let (program, socket, state) = (word(program), word(&entry.socket), word(&entry.state));
    let mut command = format!("{program} statusline --socket {socket} --state {state}");
    // Whatever else it has (a padding, say) is the client's business, and stays.
    let mut value = json!({ "type": "command" });
    if let Some(was) = fields.get(FIELD) {
        command.push_str(WAS);
        command.push_str(&quoted(was.get()));
        value = serde_json::from_str(was.get()).unwrap_or(value);
    }
    value["command"] = json!(command);
    value["refreshInterval"] = json!(REFRESH_S);
    fields.set(FIELD, raw(&indented(&value, 2)));
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Entry, SettingsText};
    use serde_json::{Value, json};

    fn entry(with: bool) -> Entry {
        Entry {
            hook_client: "/st/it's/bin/bursar-hook".into(),
            socket: "/s".into(),
            state: "/st/it's".into(),
            status_line: with.then(|| "/opt/bursar".into()),
            ..Entry::default()
        }
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn what_stood_there_is_wrapped_and_given_back() {
        let theirs = r#"{"type": "command",  "command": "~/line.sh 'a' --was \"x\"", "padding": 2, "refreshInterval": 9}"#;
        let before = format!("{{\n  \"statusLine\": {theirs},\n  \"model\": \"x\"\n}}\n");
        let parsed = SettingsText::parse(&before).expect("settings");
        let once = parsed.with(&entry(true), &[]);
        let line = &value(&once)["statusLine"];
        assert_eq!((&line["padding"], &line["refreshInterval"]), (&json!(2), &json!(1)));
        let command = line["command"].as_str().expect("a command");
        assert!(
            command.starts_with(r"'/opt/bursar' statusline --socket '/s' --state '/st/it'\''s' --was "),
            "{command}"
        );
        // The shell that runs it reads the former entry as it was.
        let echo = command.replace("'/opt/bursar'", "for last in") + "; do :; done; printf %s \"$last\"";
        let out = std::process::Command::new("/bin/sh").arg("-c").arg(&echo).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&out.stdout), theirs);
        let again = SettingsText::parse(&once).expect("settings");
        assert_eq!(again.with(&entry(true), &[]), once, "twice is once");
        assert!(again.has(&entry(false)));
        assert_eq!(again.without(&entry(false)), before);
        assert!(!again.with(&entry(false), &[]).contains("bursar"), "told not to");
    }

    #[test]
    fn where_none_stood_ours_comes_and_goes() {
        let once = SettingsText::parse("{}").expect("settings").with(&entry(true), &[]);
        let line = &value(&once)["statusLine"];
        assert_eq!(line["type"], "command");
        assert!(!line["command"].as_str().expect("a command").contains("--was"));
        assert_eq!(value(&SettingsText::parse(&once).expect("settings").without(&entry(false))), json!({}));
    }

    #[test]
    fn what_cannot_be_wrapped_and_what_is_another_installations_stays() {
        let odd = SettingsText::parse(r#"{"statusLine": {"type": "other"}}"#).expect("settings");
        assert!(odd.has_odd_status_line(&entry(true)));
        assert_eq!(value(&odd.with(&entry(true), &[]))["statusLine"], json!({"type": "other"}));
        let elsewhere = Entry { state: "/other".into(), ..entry(true) };
        let theirs = SettingsText::parse("{}").expect("settings").with(&elsewhere, &[]);
        let both = SettingsText::parse(&theirs).expect("settings").with(&entry(true), &[]);
        let back = SettingsText::parse(&both).expect("settings").without(&entry(false));
        assert_eq!(value(&back)["statusLine"], value(&theirs)["statusLine"]);
    }
}
