//! What keys and answers make of the state.

use super::*;
use serde_json::json;

#[test]
fn an_answer_to_what_is_not_wanted_any_more_is_followed_by_another_look() {
    let mut state = state(25);
    let old = look(&state, 25);
    assert_eq!(press(&mut state, &[Key::PageDown, Key::PageDown]), Action::Look);
    assert!(state.answer(Answer::Look(Box::new(old))));
    // Nothing is chosen before the page is there.
    assert_eq!(press(&mut state, &[Key::Char('c'), Key::Enter]), Action::Show);
    assert!(state.prompt.is_none() && state.detail.is_none());
    assert!(!see(&mut state, 25));
    assert_eq!(press(&mut state, &[Key::Enter]), Action::Tap);
    assert_eq!(state.detail.map(|detail| detail.session), Some(21));
}

/// A state that has seen a server with so many sessions, with room for ten of them.
fn state(sessions: usize) -> State {
    let mut state = State::new(json!({"mode": "proxy"}), Sort::Rate, None);
    state.page.resize(10);
    see(&mut state, sessions);
    state
}

/// What a server with so many sessions answers to what is asked for.
fn look(state: &State, sessions: usize) -> Look {
    let choice = state.wanted();
    let rows = (1..=sessions).skip(choice.skip).take(choice.limit.unwrap());
    let rows = rows.map(|number| json!({"session": number, "client": format!("127.0.0.1:{number}")}));
    Look { rows: rows.collect(), matching: sessions, choice, ..Look::default() }
}

fn see(state: &mut State, sessions: usize) -> bool {
    state.answer(Answer::Look(Box::new(look(state, sessions))))
}

fn press(state: &mut State, keys: &[Key]) -> Action {
    keys.iter().map(|key| state.key(*key)).last().unwrap()
}

#[test]
fn a_session_is_cut_after_a_yes_and_only_the_one_that_was_asked_for() {
    let mut state = state(3);
    press(&mut state, &[Key::Down, Key::Char('c')]);
    assert_eq!(state.prompt, Some(Prompt::Cut { session: 2, about: "127.0.0.1:2".into() }));
    // The table moves on; the question does not.
    state.page.rows.remove(0);
    assert_eq!(press(&mut state, &[Key::Char('y')]), Action::Cut { session: 2, fin: false });
    for key in [Key::Char('n'), Key::Enter, Key::Escape, Key::Char(' '), Key::Char('q')] {
        assert_eq!(press(&mut state, &[Key::Char('c'), key]), Action::Show, "{key:?}");
        assert_eq!(state.prompt, None);
    }
    assert!(matches!(press(&mut state, &[Key::Char('c'), Key::Char('f')]), Action::Cut { fin: true, .. }));
    assert!(state.answer(Answer::Cut { session: 2, refused: Some("there is no session 2".into()) }));
    assert_eq!(state.notice.as_deref(), Some("there is no session 2"));
    press(&mut state, &[Key::Up]);
    assert_eq!(state.notice, None);
}

#[test]
fn a_filter_is_asked_for_with_every_key_and_escape_brings_back_the_one_before() {
    let mut state = state(3);
    let filter = |text: &str| text.chars().map(Key::Char).collect::<Vec<_>>();
    assert_eq!(press(&mut state, &filter("/:80q")), Action::Look);
    assert_eq!(state.wanted().matching, ":80q");
    assert_eq!(press(&mut state, &[Key::Backspace, Key::Enter]), Action::Show);
    assert_eq!((state.page.choice.matching.as_str(), &state.prompt), (":80", &None));
    press(&mut state, &filter("/x"));
    press(&mut state, &[Key::Clear, Key::Escape]);
    assert_eq!(state.page.choice.matching, ":80");
    assert_eq!(press(&mut state, &[Key::Escape]), Action::Look);
    assert_eq!(state.page.choice.matching, "");
}

#[test]
fn the_order_goes_round_and_turns() {
    let mut state = state(3);
    let mut seen = Vec::new();
    for _ in 0..4 {
        assert_eq!(press(&mut state, &[Key::Char('s')]), Action::Look);
        seen.push(state.page.choice.sort);
    }
    assert_eq!(seen, [Sort::Bytes, Sort::Idle, Sort::Age, Sort::Rate]);
    press(&mut state, &[Key::Char('r')]);
    assert!(state.wanted().reverse);
}

#[test]
fn a_table_that_is_held_stays_while_the_totals_go_on() {
    let mut state = state(3);
    press(&mut state, &[Key::Char(' ')]);
    assert_eq!(state.wanted().limit, Some(0));
    let mut now = look(&state, 9);
    now.stats = json!({"live": 9});
    assert!(!state.answer(Answer::Look(Box::new(now))));
    assert_eq!((state.page.rows.len(), state.page.matching, &state.stats["live"]), (3, 3, &json!(9)));
    press(&mut state, &[Key::Char(' ')]);
    see(&mut state, 9);
    assert_eq!(state.page.rows.len(), 9);
}

#[test]
fn details_are_those_of_the_chosen_session_until_they_are_left() {
    let mut state = state(3);
    assert_eq!(press(&mut state, &[Key::Down, Key::Enter]), Action::Tap);
    assert_eq!(state.detail.as_ref().map(|detail| (detail.session, detail.tapped)), Some((2, true)));
    let alive = |number: u64| (number, Details::Alive(json!({"session": number, "client": "127.0.0.1:2"})));
    let another = |number: u64| (number, Details::Ended("another".into()));
    for told in [alive(2), alive(1), another(1)] {
        let now = Look { session: Some(told), ..look(&state, 3) };
        state.answer(Answer::Look(Box::new(now)));
    }
    assert_eq!(state.detail.as_ref().unwrap().facts["session"], 2);
    press(&mut state, &[Key::Char('c')]);
    assert_eq!(state.prompt, Some(Prompt::Cut { session: 2, about: "127.0.0.1:2".into() }));
    press(&mut state, &[Key::Char('n')]);
    assert_eq!(press(&mut state, &[Key::Char('t')]), Action::Tap);
    assert!(!state.detail.as_ref().unwrap().tapped);
    let now = Look { session: Some((2, Details::Ended("it is over".into()))), ..look(&state, 3) };
    state.answer(Answer::Look(Box::new(now)));
    press(&mut state, &[Key::Char('c')]);
    assert_eq!(state.prompt, None, "what has ended cannot be cut");
    assert_eq!(press(&mut state, &[Key::Escape]), Action::Tap);
    assert!(state.detail.is_none());
}

#[test]
fn ctrl_c_leaves_wherever_one_is() {
    for keys in [&[][..], &[Key::Char('/')], &[Key::Char('c')], &[Key::Enter]] {
        let mut state = state(1);
        for key in keys {
            state.key(*key);
        }
        assert_eq!(state.key(Key::Interrupt), Action::Quit);
        assert_eq!(state.key(Key::Suspend), Action::Suspend);
    }
    assert_eq!(state(1).key(Key::Char('q')), Action::Quit);
}
