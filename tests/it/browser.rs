//! A browser without JavaScript: keeps cookies, fills in forms, sends what a form would send.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::{Method, Request};

use crate::edge::{Answer, Shop, shop};

/// Under which name the shop is reached.
const HOST: &str = "shop.example";

/// A browser with its own cookies.
pub struct Browser {
    shop: &'static Shop,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A page it was shown.
#[derive(Debug, Clone)]
pub struct Page {
    pub path: String,
    pub answer: Answer,
    pub html: String,
}

impl Browser {
    /// A browser that has never been here.
    pub async fn fresh() -> Self {
        Self {
            shop: shop().await,
            cookies: Mutex::default(),
        }
    }

    /// A browser whose owner has an account; its e-mail.
    pub async fn registered(name: &str) -> (Self, String) {
        let browser = Self::fresh().await;
        let email = format!("{}@example.org", browser.shop.fresh("ada"));
        let page = browser.get("/sign-in").await;
        let fields = [
            ("name", name),
            ("email", &email),
            ("password", "correct horse battery"),
        ];
        browser
            .submit(&page, "/register", &fields)
            .await
            .leads_to("/account");
        (browser, email)
    }

    /// A browser of somebody who sells.
    pub async fn seller() -> Self {
        let browser = Self::fresh().await;
        let page = browser.get("/sign-in?next=/seller/orders").await;
        let fields = [
            ("email", "seller@example.org"),
            ("password", "correct horse battery"),
        ];
        browser
            .submit(&page, "/sign-in", &fields)
            .await
            .leads_to("/seller/orders");
        browser
    }

    /// Opens an address.
    pub async fn get(&self, path: &str) -> Page {
        self.send(Method::GET, path, &[], None).await
    }

    /// Opens where a page leads to, as often as it leads on.
    pub async fn follow(&self, page: Page) -> Page {
        let mut page = page;
        for _ in 0..5 {
            let Some(next) = page.answer.header("location").map(str::to_owned) else {
                return page;
            };
            page = self.get(&next).await;
        }
        panic!("{} leads in circles", page.path)
    }

    /// Sends the form of a page that goes to `action`, with some fields filled in.
    pub async fn submit(&self, page: &Page, action: &str, filled: &[(&str, &str)]) -> Page {
        let mut fields = page.form(action);
        for (name, value) in filled {
            fields.retain(|(field, _)| field != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.post(action, &fields).await
    }

    /// Sends fields from a page of the shop.
    pub async fn post(&self, path: &str, fields: &[(String, String)]) -> Page {
        let origin = format!("http://{HOST}");
        let headers = [("origin", origin.as_str())];
        self.send(Method::POST, path, &headers, Some(fields)).await
    }

    /// Sends a request with these headers and the cookies.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        fields: Option<&[(String, String)]>,
    ) -> Page {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", HOST)
            .header("accept", "text/html,application/xhtml+xml");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies = self.cookies();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        let body = match fields {
            Some(fields) => {
                request = request.header("content-type", "application/x-www-form-urlencoded");
                let pairs = fields
                    .iter()
                    .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
                Body::from(pairs.collect::<Vec<_>>().join("&"))
            }
            None => Body::empty(),
        };
        let answer = self.shop.send(request.body(body).unwrap()).await;
        self.keep_cookies(&answer);
        Page {
            path: path.to_owned(),
            html: String::from_utf8_lossy(&answer.bytes).into_owned(),
            answer,
        }
    }

    /// What it sends as `Cookie`.
    pub fn cookies(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    fn keep_cookies(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().unwrap();
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let (pair, attributes) = set.split_once(';').unwrap();
            for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Secure"] {
                assert!(attributes.contains(attribute), "{set} lacks {attribute}");
            }
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// The page, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.answer.status, status, "{}: {}", self.path, self.html);
        let media = self.answer.header("content-type");
        assert_eq!(media, Some("text/html; charset=utf-8"), "{}", self.path);
        self
    }

    /// Where it leads, which begins like this.
    #[track_caller]
    pub fn leads_to(&self, start: &str) -> String {
        assert_eq!(self.answer.status, 303, "{}: {}", self.path, self.html);
        let location = self.answer.header("location").unwrap();
        assert!(location.starts_with(start), "{} leads to {location}", self.path);
        location.to_owned()
    }

    /// Whether it says so.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(
            self.html.contains(text),
            "{} does not say {text:?}: {}",
            self.path,
            self.html
        );
        self
    }

    /// Whether it does not say so.
    #[track_caller]
    pub fn hides(&self, text: &str) -> &Self {
        assert!(!self.html.contains(text), "{} says {text:?}", self.path);
        self
    }

    /// Whether it has a form that goes there.
    pub fn has_form(&self, action: &str) -> bool {
        self.html
            .contains(&format!("action=\"{action}\" method=\"post\""))
    }

    /// What the form that goes to `action` would send as it is.
    #[track_caller]
    pub fn form(&self, action: &str) -> Vec<(String, String)> {
        let start = format!("action=\"{action}\" method=\"post\"");
        let (_, form) = self
            .html
            .split_once(&start)
            .unwrap_or_else(|| panic!("{} has no form to {action}: {}", self.path, self.html));
        let form = form.split("</form>").next().unwrap();
        let mut fields = inputs(form);
        fields.extend(selects(form));
        fields.extend(areas(form));
        fields
    }
}

fn inputs(form: &str) -> Vec<(String, String)> {
    let tags = form
        .split("<input ")
        .skip(1)
        .filter_map(|rest| rest.split_once('>'));
    tags.filter_map(|(tag, _)| {
        let kind = attribute(tag, "type").unwrap_or_default();
        let is_sent = !["radio", "checkbox"].contains(&kind.as_str()) || tag.contains(" checked");
        let value = attribute(tag, "value").unwrap_or_default();
        is_sent.then(|| Some((attribute(tag, "name")?, value)))?
    })
    .collect()
}

fn selects(form: &str) -> Vec<(String, String)> {
    let tags = form
        .split("<select ")
        .skip(1)
        .filter_map(|rest| rest.split_once('>'));
    tags.filter_map(|(tag, rest)| {
        let options = rest.split("</select>").next()?;
        let options: Vec<_> = options.split("<option ").skip(1).collect();
        let chosen = options
            .iter()
            .find(|option| option.split('>').next().unwrap().contains(" selected"))
            .or(options.first())?;
        Some((attribute(tag, "name")?, attribute(chosen, "value")?))
    })
    .collect()
}

fn areas(form: &str) -> Vec<(String, String)> {
    let tags = form
        .split("<textarea ")
        .skip(1)
        .filter_map(|rest| rest.split_once('>'));
    tags.filter_map(|(tag, rest)| {
        Some((
            attribute(tag, "name")?,
            unescape(rest.split("</textarea>").next()?),
        ))
    })
    .collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = format!(" {tag}");
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(unescape(rest.split('"').next()?))
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (escaped, plain) in [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ] {
        text = text.replace(escaped, plain);
    }
    text
}

/// As a form is encoded.
pub fn encode(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| {
            if plain(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
