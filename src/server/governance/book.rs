use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use super::policy::Arrivals;

/// What each client has, and has had: its sessions, its bytes of this day, and how fast it comes.
///
/// It never holds more than so many clients. Whoever has nothing to remember goes first, then who
/// was not seen for longest; a client whose tests run stays. Identities, of which there are as many
/// as the server's files name, are apart from addresses, of which anybody may have many.
#[derive(Debug, Default)]
pub(super) struct Book {
    addresses: Accounts<IpAddr>,
    identities: Accounts<String>,
    next: u64,
}

/// Whose account it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// Of a client without an identity: an IPv4 address, or an IPv6 network.
    Address(IpAddr),
    /// Of a client that has proved this identity.
    Identity(String),
}

/// A moment, on two clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Since the server began; never goes back.
    pub(super) up: Duration,
    /// Since the Unix epoch.
    pub(super) unix: Duration,
}

/// Why a client gets no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// It has as many as it may, the first of which should end after this time.
    Own(Option<Duration>),
    /// The book has no room for a further client.
    Book,
}

#[derive(Debug)]
struct Accounts<K> {
    by_key: HashMap<K, Account>,
}

#[derive(Debug, Default)]
struct Account {
    /// The sessions, and when each should end.
    sessions: BTreeMap<u64, Option<Duration>>,
    /// The day, since the Unix epoch, on which `bytes` have moved.
    day: u64,
    bytes: u64,
    /// When the next session would be due if all had come at the permitted rate.
    due: Duration,
    seen: Duration,
}

impl Book {
    /// Takes note that a session of this address comes, or returns after how long it may.
    pub(super) fn knock(
        &mut self,
        ip: IpAddr,
        arrivals: Arrivals,
        now: Moment,
    ) -> Result<(), Duration> {
        let account = self.addresses.open(&network(ip), now).ok_or(FULL_BOOK)?;
        let between = Duration::from_secs(1) / arrivals.per_second.get();
        let ahead = account.due.saturating_sub(now.up);
        let most = between.saturating_mul(arrivals.burst.get() - 1);
        if ahead > most {
            return Err(ahead - most);
        }
        account.due = account.due.max(now.up) + between;
        Ok(())
    }

    /// Begins a session, of which the client may have so many, and which should take this long.
    pub(super) fn enter(
        &mut self,
        subject: &Subject,
        most: Option<NonZeroU32>,
        duration: Option<Duration>,
        now: Moment,
    ) -> Result<u64, Full> {
        let number = self.next;
        let account = self.open(subject, now).ok_or(Full::Book)?;
        let running = u32::try_from(account.sessions.len()).unwrap_or(u32::MAX);
        if most.is_some_and(|most| running >= most.get()) {
            let first = account.sessions.values().flatten().min();
            return Err(Full::Own(first.map(|end| end.saturating_sub(now.up))));
        }
        account.sessions.insert(number, duration.map(|duration| now.up.saturating_add(duration)));
        self.next += 1;
        Ok(number)
    }

    /// Ends a session.
    pub(super) fn leave(&mut self, subject: &Subject, session: u64) {
        if let Some(account) = self.find(subject) {
            account.sessions.remove(&session);
        }
    }

    /// Adds bytes to those of this day, and returns how many those are.
    pub(super) fn charge(&mut self, subject: &Subject, bytes: u64, now: Moment) -> u64 {
        let Some(account) = self.open(subject, now) else { return 0 };
        account.bytes = account.of_today(now).saturating_add(bytes);
        account.day = day(now);
        account.bytes
    }

    fn open(&mut self, subject: &Subject, now: Moment) -> Option<&mut Account> {
        match subject {
            Subject::Address(ip) => self.addresses.open(ip, now),
            Subject::Identity(name) => self.identities.open(name, now),
        }
    }

    fn find(&mut self, subject: &Subject) -> Option<&mut Account> {
        match subject {
            Subject::Address(ip) => self.addresses.by_key.get_mut(ip),
            Subject::Identity(name) => self.identities.by_key.get_mut(name),
        }
    }
}

impl<K: std::hash::Hash + Eq + Clone> Accounts<K> {
    /// Returns the account of this key; `None` if there is room for no further one.
    fn open(&mut self, key: &K, now: Moment) -> Option<&mut Account> {
        if !self.by_key.contains_key(key) && self.by_key.len() >= MAX_ACCOUNTS {
            self.make_room(now);
            if self.by_key.len() >= MAX_ACCOUNTS {
                return None;
            }
        }
        let account = self.by_key.entry(key.clone()).or_default();
        account.seen = now.up;
        Some(account)
    }

    /// Forgets who has nothing to remember; if those are few, who was not seen for longest as well.
    /// That costs time in proportion to what it gains, however many come.
    fn make_room(&mut self, now: Moment) {
        self.by_key.retain(|_, account| !account.is_blank(now));
        let enough = MAX_ACCOUNTS - MAX_ACCOUNTS / 8;
        let Some(excess) = self.by_key.len().checked_sub(enough).filter(|excess| *excess > 0)
        else {
            return;
        };
        let idle = |account: &Account| account.sessions.is_empty();
        let mut seen: Vec<_> =
            self.by_key.values().filter(|account| idle(account)).map(|a| a.seen).collect();
        let Some(last) = excess.min(seen.len()).checked_sub(1) else { return };
        let (_, limit, _) = seen.select_nth_unstable(last);
        let (limit, mut left) = (*limit, excess);
        self.by_key.retain(|_, account| {
            let goes = left > 0 && idle(account) && account.seen <= limit;
            left -= usize::from(goes);
            !goes
        });
    }
}

impl<K> Default for Accounts<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new() }
    }
}

impl Account {
    fn of_today(&self, now: Moment) -> u64 {
        if self.day == day(now) { self.bytes } else { 0 }
    }

    fn is_blank(&self, now: Moment) -> bool {
        self.sessions.is_empty() && self.due <= now.up && self.of_today(now) == 0
    }
}

/// Returns how long this day of UTC lasts.
pub(super) fn until_midnight(now: Moment) -> Duration {
    Duration::from_secs((day(now) + 1) * DAY).saturating_sub(now.unix)
}

/// Returns what a client can hardly have more than one of: an IPv4 address, or an IPv6 network.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

fn day(now: Moment) -> u64 {
    now.unix.as_secs() / DAY
}

/// In seconds.
const DAY: u64 = 86_400;
/// Some 200 bytes each.
const MAX_ACCOUNTS: usize = 1 << 15;
/// When to come again if the book has no room: the tests of some client must end first.
const FULL_BOOK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        let up = Duration::from_secs(seconds);
        Moment { up, unix: Duration::from_secs(20_000 * DAY) + up }
    }

    fn address(number: usize) -> IpAddr {
        Ipv6Addr::from_bits(u128::try_from(number).unwrap() << 64).into()
    }

    fn arrivals(per_second: u32, burst: u32) -> Arrivals {
        let count = |n| NonZeroU32::new(n).unwrap();
        Arrivals { per_second: count(per_second), burst: count(burst) }
    }

    #[test]
    fn a_burst_comes_in_and_then_so_many_a_second() {
        let (mut book, slow) = (Book::default(), arrivals(2, 5));
        let mut knock = |ip, now| book.knock(address(ip), slow, now);
        assert_eq!((0..9).filter(|_| knock(1, at(10)).is_ok()).count(), 5);
        assert_eq!(knock(1, at(10)), Err(Duration::from_millis(500)), "it says when to come");
        assert_eq!(knock(2, at(10)), Ok(()), "others are not held back");
        assert_eq!((0..9).filter(|_| knock(1, at(11)).is_ok()).count(), 2);
        assert_eq!((0..9).filter(|_| knock(1, at(99)).is_ok()).count(), 5);
    }

    #[test]
    fn a_client_has_no_more_sessions_than_it_may_and_hears_when_one_should_end() {
        let (mut book, two) = (Book::default(), NonZeroU32::new(2));
        let subject = Subject::Identity("mario".to_owned());
        let ten = Some(Duration::from_secs(10));
        let first = book.enter(&subject, two, ten, at(0)).unwrap();
        book.enter(&subject, two, None, at(1)).unwrap();
        let seven = Full::Own(Some(Duration::from_secs(7)));
        assert_eq!(book.enter(&subject, two, ten, at(3)), Err(seven));
        let other = Subject::Identity("luigi".to_owned());
        assert!(book.enter(&other, two, ten, at(3)).is_ok());
        book.leave(&subject, first);
        assert!(book.enter(&subject, two, ten, at(3)).is_ok());
    }

    #[test]
    fn bytes_count_until_midnight() {
        let (mut book, subject) = (Book::default(), Subject::Address(address(1)));
        assert_eq!(book.charge(&subject, 70, at(0)), 70);
        assert_eq!(book.charge(&subject, 0, at(DAY - 1)), 70);
        assert_eq!(until_midnight(at(DAY - 1)), Duration::from_secs(1));
        assert_eq!(book.charge(&subject, 5, at(DAY)), 5);
        assert_eq!(book.charge(&subject, u64::MAX, at(DAY)), u64::MAX);
    }

    #[test]
    fn addresses_without_end_take_no_more_room_and_push_out_no_running_test() {
        let (mut book, slow) = (Book::default(), arrivals(1, 1));
        let running = Subject::Address(address(0));
        book.enter(&running, None, None, at(0)).unwrap();
        for number in 1..3 * MAX_ACCOUNTS {
            book.knock(address(number), slow, at(1)).unwrap();
            assert!(book.addresses.by_key.len() <= MAX_ACCOUNTS);
        }
        assert!(book.find(&running).is_some());
        let last = address(3 * MAX_ACCOUNTS - 1);
        assert!(book.knock(last, slow, at(1)).is_err(), "who was seen last is remembered");
    }

    #[test]
    fn whoever_has_nothing_to_remember_goes_first() {
        let (mut book, slow) = (Book::default(), arrivals(1, 1));
        let spent = Subject::Address(address(0));
        book.charge(&spent, 1, at(0));
        for number in 1..2 * MAX_ACCOUNTS {
            let now = at(number.try_into().unwrap());
            book.knock(address(number), slow, Moment { unix: at(0).unix, ..now }).unwrap();
        }
        assert_eq!(book.charge(&spent, 0, at(0)), 1);
    }

    #[test]
    fn a_book_full_of_running_tests_takes_nobody_else() {
        let mut book = Book::default();
        for number in 0..MAX_ACCOUNTS {
            book.enter(&Subject::Address(address(number)), None, None, at(0)).unwrap();
        }
        let late = Subject::Address(address(MAX_ACCOUNTS));
        assert_eq!(book.enter(&late, None, None, at(0)), Err(Full::Book));
        assert!(book.enter(&Subject::Identity("a".to_owned()), None, None, at(0)).is_ok());
    }
}
