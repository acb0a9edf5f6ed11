//! A mail server on a real socket that takes mail, or refuses it for good, by address.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The server. It answers until the process ends.
pub struct MailServer {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    refused: HashSet<String>,
    busy_once: HashSet<String>,
    taken: Vec<(String, String)>,
}

impl MailServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Mutex::new(Book::default()));
        let shared = Arc::clone(&book);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, book) = (stream.unwrap(), Arc::clone(&shared));
                // A client that hangs up in the middle has sent nothing.
                std::thread::spawn(move || serve(&stream, &book));
            }
        });
        Self { address, book }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Refuses mail to this address for good, until it is accepted again.
    pub fn refuse(&self, address: &str) {
        self.book.lock().unwrap().refused.insert(address.to_owned());
    }

    pub fn accept(&self, address: &str) {
        self.book.lock().unwrap().refused.remove(address);
    }

    /// Is too busy for the next mail to this address.
    pub fn busy_once(&self, address: &str) {
        self.book.lock().unwrap().busy_once.insert(address.to_owned());
    }

    /// The Message-IDs of the mails to this address, in the order in which they came.
    pub fn taken(&self, address: &str) -> Vec<String> {
        let book = self.book.lock().unwrap();
        let taken = book.taken.iter().filter(|(to, _)| to == address);
        taken.map(|(_, id)| id.clone()).collect()
    }
}

fn serve(stream: &TcpStream, book: &Mutex<Book>) -> Option<()> {
    let mut writer = stream;
    let mut say = |answer: &str| writer.write_all(format!("{answer}\r\n").as_bytes()).ok();
    say("220 test")?;
    let (mut to, mut id, mut in_data) = (String::new(), String::new(), false);
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if in_data {
            if let Some(said) = line.strip_prefix("Message-ID: ") {
                said.clone_into(&mut id);
            }
            if line == "." {
                in_data = false;
                book.lock().unwrap().taken.push((to.clone(), id.clone()));
                say("250 taken")?;
            }
        } else if let Some(rest) = line.strip_prefix("RCPT TO:<") {
            rest.split('>').next()?.clone_into(&mut to);
            let answer = {
                let mut book = book.lock().unwrap();
                if book.refused.contains(&to) {
                    // As real servers do, it says whose mail it does not want.
                    format!("550 no mailbox for <{to}> here")
                } else if book.busy_once.remove(&to) {
                    "451 come back later".to_owned()
                } else {
                    "250 ok".to_owned()
                }
            };
            say(&answer)?;
        } else if line == "DATA" {
            in_data = true;
            say("354 go on")?;
        } else if line == "QUIT" {
            return say("221 bye");
        } else {
            say("250 ok")?;
        }
    }
    Some(())
}
