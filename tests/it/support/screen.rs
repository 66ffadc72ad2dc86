//! `switchboard top` in a terminal of its own: what a person would see of it, and what the terminal is left as.

use crate::support::{
    operator::Operated,
    proc::Process,
    program::{Program, binary},
    terminal::Terminal,
    wait::{LIMIT, within},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    os::unix::process::CommandExt,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

/// How soon a reader stops that is to.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// All that the kernel says of a terminal's settings.
pub type Settings = String;

/// A program in a terminal; dropping it kills it.
pub struct Screen {
    program: Program,
    /// None once the terminal has gone.
    keyboard: Option<File>,
    /// None once the test has stopped reading.
    reader: Option<JoinHandle<()>>,
    stopped: Arc<AtomicBool>,
    line: File,
    shown: Arc<Mutex<Shown>>,
    /// The settings before the program began.
    pub before: Settings,
}

/// What a program has written to its terminal.
struct Shown {
    bytes: Vec<u8>,
    terminal: vt100::Parser,
}

impl Screen {
    /// `top` of this server, in 80 columns and 24 rows.
    pub fn top(operated: &Operated, flags: &[&str]) -> Screen {
        let mut command = binary();
        command.arg("top").arg("--control").arg(&operated.socket).args(flags);
        Screen::start(command)
    }

    /// Any program, with the terminal as all three of its streams, in a process group of its own.
    pub fn start(command: Command) -> Screen {
        Screen::start_with(command, "")
    }

    /// The same, with a value of `NO_COLOR`.
    pub fn start_with(mut command: Command, no_color: &str) -> Screen {
        let terminal = Terminal::open();
        let (screen, line) = (terminal.screen.try_clone().unwrap(), terminal.line.try_clone().unwrap());
        set_size(&line, 80, 24);
        let before = settings(&line);
        command.stdin(terminal.stdio()).stdout(terminal.stdio()).stderr(terminal.stdio()).process_group(0);
        command.env("NO_COLOR", no_color).env("TERM", "xterm");
        let program = Program::start(&mut command);
        let [columns, rows] = [80, 24].map(|size| NonZeroU16::new(size).unwrap());
        let shown = Shown { bytes: Vec::new(), terminal: vt100::Parser::new(rows, columns, 0) };
        let shown = Arc::new(Mutex::new(shown));
        let (written, mut output) = (shown.clone(), screen.try_clone().unwrap());
        let stopped = Arc::new(AtomicBool::new(false));
        let over = stopped.clone();
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !over.load(Relaxed) {
                let mut polled = [PollFd::new(&output, PollFlags::IN)];
                if poll(&mut polled, Some(&LOOK)).is_ok_and(|count| count == 0) {
                    continue;
                }
                let Ok(count) = output.read(&mut buffer) else { return };
                let mut shown = written.lock().unwrap();
                shown.bytes.extend_from_slice(&buffer[..count]);
                shown.terminal.process(&buffer[..count]);
            }
        });
        Screen { program, keyboard: Some(screen), reader: Some(reader), stopped, line, shown, before }
    }

    /// From now on the terminal takes only what it has room for.
    pub fn stop_reading(&mut self) {
        self.stopped.store(true, Relaxed);
        self.reader.take().unwrap().join().unwrap();
    }

    /// What was written since the reader stopped.
    pub fn unread(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        let terminal = self.keyboard.as_mut().unwrap();
        while poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&LOOK)).unwrap() > 0 {
            let count = terminal.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The terminal goes away, as with the connection of a remote shell.
    pub fn hang_up(&mut self) {
        self.stop_reading();
        self.keyboard = None;
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        self.keyboard.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.shown.lock().unwrap().terminal.screen().contents()
    }

    /// The screen with its colours.
    pub fn look(&self) -> vt100::Screen {
        self.shown.lock().unwrap().terminal.screen().clone()
    }

    /// All that was ever written.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap().bytes).into_owned()
    }

    /// Waits until the screen shows all of these.
    pub fn await_text(&self, texts: &[&str]) -> String {
        within(LIMIT, &format!("{texts:?} on the screen"), || {
            let text = self.text();
            texts.iter().all(|wanted| text.contains(wanted)).then_some(text)
        })
    }

    /// Waits until what is on the screen satisfies.
    pub fn await_screen(&self, what: &str, satisfies: impl Fn(&str) -> bool) -> String {
        within(LIMIT, what, || Some(self.text()).filter(|text| satisfies(text)))
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        set_size(&self.line, columns, rows);
        let [columns, rows] = [columns, rows].map(|size| NonZeroU16::new(size).unwrap());
        self.shown.lock().unwrap().terminal.screen_mut().set_size(rows, columns);
        // The kernel sends it to whose controlling terminal it is, which needs a session of its own.
        self.signal(Signal::WINCH);
    }

    /// The terminal says that it has another size, and goes on to show what it did.
    pub fn claim_size(&self, columns: u16, rows: u16) {
        set_size(&self.line, columns, rows);
        self.signal(Signal::WINCH);
    }

    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    pub fn process(&self) -> Process {
        self.program.process()
    }

    pub fn settings(&self) -> Settings {
        settings(&self.line)
    }

    /// Whether the program has the terminal to itself: another screen, no cursor, keys one by one and unseen.
    pub fn is_taken(&self) -> bool {
        let line = tcgetattr(&self.line).unwrap().local_modes;
        let raw = !line.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        let shown = self.shown.lock().unwrap();
        let screen = shown.terminal.screen();
        raw && screen.alternate_screen() && screen.hide_cursor()
    }

    /// Fails where the terminal is not as it was before the program.
    pub fn assert_given_back(&self) {
        assert_eq!(self.settings(), self.before);
        within(LIMIT, "the shell's screen", || {
            let shown = self.shown.lock().unwrap();
            let screen = shown.terminal.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
    }

    /// Waits for the end of the program, and returns its exit code.
    pub fn await_exit(&mut self) -> i32 {
        self.program.await_exit()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("its screen:\n{}", self.text());
        }
    }
}

fn set_size(line: &File, columns: u16, rows: u16) {
    tcsetwinsize(line, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

fn settings(line: &File) -> Settings {
    format!("{:?}", tcgetattr(line).unwrap())
}
