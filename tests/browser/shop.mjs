// A shopper and a seller in a real browser, from the first look to the parcel at the door; then a
// shopper whose browser runs no scripts. Prints each step; throws at the first that does not hold.
//
//   SHOP_URL, SELLER_EMAIL, SELLER_PASSWORD   where, and who sells
//   CHROMIUM                                  the browser (default /usr/bin/chromium)
//   SCREENSHOTS                               a folder for pictures, light and dark, narrow and wide

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { SHOP_URL, SELLER_EMAIL, SELLER_PASSWORD, SCREENSHOTS } = process.env;
const NARROW = { width: 360, height: 780 };
const WIDE = { width: 1280, height: 900 };
const LIMIT = 30_000;

const say = (text) => console.log(text);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  const shopper = await visitor();
  const seller = await visitor();
  const email = `ada.${Date.now()}@example.com`;
  const order = await buys(shopper, email);
  await signsIn(seller, SELLER_EMAIL, SELLER_PASSWORD);
  await sells(seller, order, shopper);
  await readsMails(shopper, email, order);
  await fitsNarrowScreens(shopper, order);
  await fitsNarrowScreens(seller, `/seller/orders/${order.split("/").at(-1)}`);
  const plain = await visitor({ javaScriptEnabled: false });
  await buysWithoutScripts(plain);
  if (SCREENSHOTS) await takesPictures(shopper, seller, plain, order);
  for (const { faults } of [shopper, seller, plain]) assert.deepEqual(faults, [], "the browser complained");
  say("no complaint in any console");
} finally {
  await browser.close();
}

/** Somebody with a browser of their own, and what that browser complains about. */
async function visitor(more = {}) {
  const context = await browser.newContext({ baseURL: SHOP_URL, viewport: WIDE, ...more });
  context.setDefaultTimeout(LIMIT);
  const page = await context.newPage();
  const faults = [];
  // Violations of the Content-Security-Policy are told as errors on the console.
  page.on("console", (message) => message.type() === "error" && faults.push(`${page.url()}: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error}`));
  page.on("response", (answer) => answer.status() >= 500 && faults.push(`${answer.url()}: ${answer.status()}`));
  return { context, page, faults };
}

/** Looks around and puts the first thing that is there into the cart. */
async function findsSomething({ page }) {
  await page.goto("/");
  await page.locator(".aisles a").first().click();
  await page.waitForURL("**/c/**");
  const card = page.locator("li.card").filter({ has: page.locator(".stock-in_stock") }).first();
  const name = await card.locator(".card-name").innerText();
  await card.locator(".card-link").click();
  await page.waitForURL("**/p/**");
  assert.equal(await page.locator("h1").innerText(), name);
  await page.locator("form.buy button").click();
  return name;
}

async function fillsIn({ page }, email) {
  await page.fill("#email", email);
  await page.fill("#name", "Ada Lovelace");
  await page.fill("#line1", "Invalidenstr. 1");
  await page.fill("#postal_code", "10115");
  await page.fill("#city", "Berlin");
  await page.selectOption("#country", "DE");
  await page.check("input[name=shipping_method][value=standard]");
  await page.check("input[name=payment_token][value=tok_approve]");
  await page.getByRole("button", { name: "Order and pay" }).click();
  await page.waitForURL("**/orders/**");
}

async function buys(shopper, email) {
  const { page } = shopper;
  // The first form of a guest makes the session, so it is answered with a page: the cart.
  const name = await findsSomething(shopper);
  await page.waitForURL("**/cart");
  assert.equal(await page.locator(".line").count(), 1);
  // From then on adding does not leave the page.
  await findsSomething(shopper);
  await page.locator("cart-badge[count='2']").waitFor();
  assert.match(page.url(), /\/p\//, "adding to the cart left the page");
  await page.locator(".tools a[href='/cart']").click();
  await page.waitForURL("**/cart");
  assert.equal(await page.locator(".line input.quantity").inputValue(), "2");
  await page.getByRole("link", { name: "Go to checkout" }).click();
  await fillsIn(shopper, email);

  const first = await page.locator("order-timeline").getAttribute("status");
  await marks(page);
  await seesLive(page, "confirmed");
  say(`a shopper bought ${name}: the order was ${first} at first sight, and is confirmed without a reload`);
  return new URL(page.url()).pathname;
}

/** A mark that a reload would wipe out. */
async function marks(page) {
  await page.evaluate(() => void (document.body.dataset.mark = "here"));
}

async function seesLive(page, status) {
  await page.locator(`order-timeline[status=${status}]`).waitFor();
  await page.locator(`order-timeline .track-${status} [aria-current=step]`).waitFor();
  assert.equal(await page.locator("body").getAttribute("data-mark"), "here", "the page was loaded again");
}

async function signsIn({ page }, email, password) {
  await page.goto("/sign-in");
  await page.fill("#email", email);
  await page.fill("#password", password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".tools a[href='/seller/orders']").waitFor();
}

/** Packs, ships and delivers, while the shopper's page is open beside it. */
async function sells({ page }, order, shopper) {
  const id = order.split("/").at(-1);
  await page.locator(".tools a[href='/seller/orders']").click();
  await page.locator(`a[href='/seller/orders/${id}']`).click();
  await page.waitForURL(`**/seller/orders/${id}`);

  await page.getByRole("button", { name: "Mark as packed" }).click();
  await seesLive(shopper.page, "packed");
  await page.getByRole("link", { name: "Packing slip" }).click();
  await page.getByRole("heading", { name: "Packing slip" }).waitFor();
  await page.getByRole("link", { name: "Back to the order" }).click();

  await page.fill("#carrier", "DHL");
  await page.fill("#tracking_number", "JD0146000003");
  await page.getByRole("button", { name: "Mark as shipped" }).click();
  await seesLive(shopper.page, "shipped");
  await shopper.page.locator("#order-side").getByText("JD0146000003").waitFor();

  await page.getByRole("button", { name: "Mark as delivered" }).click();
  await seesLive(shopper.page, "delivered");
  say("a seller packed, shipped and delivered it, and the shopper saw each step live");
}

async function readsMails({ page, context }, email, order) {
  const wanted = ["received", "confirmed", "on its way", "arrived"];
  const until = Date.now() + LIMIT;
  let subjects;
  do {
    const answer = await context.request.get(`/dev/mail.json?to=${encodeURIComponent(email)}`);
    subjects = (await answer.json()).items.map((mail) => mail.subject);
    if (subjects.length < wanted.length) await page.waitForTimeout(200);
  } while (subjects.length < wanted.length && Date.now() < until);
  for (const word of wanted) {
    assert.equal(subjects.filter((subject) => subject.includes(word)).length, 1, `mails: ${subjects.join(" | ")}`);
  }

  await page.goto(`/dev/mail?to=${encodeURIComponent(email)}`);
  assert.equal(await page.locator(".mails li").count(), wanted.length);
  await page.locator(".mails a").first().click();
  const link = page.locator(".mail-text a[href*='key=']").first();
  const stranger = await visitor();
  await stranger.page.goto(await link.getAttribute("href"));
  assert.equal(new URL(stranger.page.url()).pathname, order);
  await stranger.page.locator("order-timeline[status=delivered]").waitFor();
  assert.deepEqual(stranger.faults, []);
  await stranger.context.close();
  say(`the mails: ${subjects.join(" | ")}; their link opens the order for whoever has it`);
}

async function fitsNarrowScreens({ page }, last) {
  await page.setViewportSize(NARROW);
  const here = ["/", "/search?q=a", "/cart", "/sign-in", last];
  for (const path of here) {
    await page.goto(path);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= NARROW.width, `${path} is ${wide} pixels wide on a screen of ${NARROW.width}`);
  }
  await page.setViewportSize(WIDE);
  say(`nothing is wider than ${NARROW.width} pixels: ${here.join(" ")}`);
}

async function buysWithoutScripts(shopper) {
  const { page } = shopper;
  const name = await findsSomething(shopper);
  await page.waitForURL("**/cart");
  await page.locator(".line input.quantity").fill("3");
  await page.getByRole("button", { name: "Update" }).click();
  await page.locator(".line input.quantity[value='3']").waitFor();
  await page.getByRole("link", { name: "Go to checkout" }).click();
  await fillsIn(shopper, "plain@example.com");
  const until = Date.now() + LIMIT;
  while (!(await page.locator("order-timeline[status=confirmed]").count()) && Date.now() < until) {
    await page.waitForTimeout(200);
    await page.reload();
  }
  await page.getByText("Your order is confirmed and paid.").waitFor();
  say(`without scripts: three of ${name}, ordered and confirmed`);
}

async function takesPictures(shopper, seller, plain, order) {
  const product = await shopper.context.request.get("/v1/products?limit=1");
  const { slug } = (await product.json()).items[0];
  await findsSomething(shopper);
  await shopper.page.locator("cart-badge[count='1']").waitFor();
  const pages = [
    [shopper, "home", "/"], [shopper, "category", await firstCategory(shopper.page)],
    [shopper, "search", "/search?q=notebook"], [shopper, "nothing-found", "/search?q=xyzzy"],
    [shopper, "product", `/p/${slug}`], [shopper, "cart", "/cart"], [shopper, "checkout", "/checkout"],
    [shopper, "order", order], [plain, "sign-in", "/sign-in"], [plain, "empty-cart", "/cart"],
    [seller, "seller-orders", "/seller/orders"], [seller, "seller-order", `/seller${order}`],
    [seller, "seller-slip", `/seller${order}/slip`], [seller, "seller-products", "/seller/products"],
    [seller, "seller-product-new", "/seller/products/new"], [seller, "seller-stock", "/seller/stock"],
    [seller, "account", "/account"], [shopper, "mailbox", "/dev/mail"], [shopper, "not-found", "/p/no-such-thing"],
  ];
  await mkdir(SCREENSHOTS, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    for (const viewport of [NARROW, WIDE]) {
      for (const [{ context }, name, path] of pages) {
        const page = await context.newPage();
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.setViewportSize(viewport);
        await page.goto(path, { waitUntil: "load" });
        const file = `${name}-${viewport.width}-${colorScheme}.png`;
        await page.screenshot({ path: join(SCREENSHOTS, file), fullPage: true });
        await page.close();
      }
    }
  }
  say(`${pages.length * 4} pictures in ${SCREENSHOTS}`);
}

async function firstCategory(page) {
  await page.goto("/");
  return page.locator(".aisles a").first().getAttribute("href");
}
