// Builds everything the browser gets into dist/: hashed names, gzip beside each text file, and a
// manifest from logical names to hashed ones. The server embeds dist/ as it is.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const manifest = {};

const fonts = {
  "text.woff2": "hanken-grotesk-latin-wght-normal.woff2",
  "display.woff2": "bricolage-grotesque-latin-wght-normal.woff2",
};

async function bundle(entryPoints) {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints,
    outdir: dist,
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022", "chrome111", "firefox114", "safari16.4"],
    entryNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    loader: { ".woff2": "file" },
    publicPath: "/assets",
    metafile: true,
    legalComments: "eof",
    logLevel: "warning",
  });
  for (const [path, output] of Object.entries(metafile.outputs)) {
    const name = basename(path);
    if (output.entryPoint) {
      manifest[basename(output.entryPoint).replace(/\.ts$/, ".js")] = name;
      continue;
    }
    const source = basename(Object.keys(output.inputs)[0] ?? "");
    const font = Object.entries(fonts).find(([, file]) => file === source);
    // Everything emitted is named, so that the server knows it; fonts by what they are for.
    manifest[font ? font[0] : source] = name;
  }
}

/** Takes a file over as it is, under a hashed name. */
async function take(logical, path, change = (text) => text) {
  const raw = await readFile(join(here, path));
  await write(logical, Buffer.from(change(raw.toString("utf8"))));
}

async function write(logical, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8).toUpperCase();
  const extension = extname(logical);
  const name = `${basename(logical, extension)}-${hash}${extension}`;
  await writeFile(join(dist, name), content);
  manifest[logical] = name;
}

/** The licences of everything above, which ask to travel with it. */
async function licences() {
  const { dependencies } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
  const texts = await Promise.all(
    Object.keys(dependencies).sort().map(async (name) => {
      const folder = join(here, "node_modules", name);
      const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice)/i.test(file)).sort();
      const parts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
      return `${name}\n\n${parts.join("\n").trim()}\n`;
    }),
  );
  await write("licences.txt", Buffer.from(texts.join(`\n${"=".repeat(72)}\n\n`)));
}

async function compress() {
  for (const name of await readdir(dist)) {
    if (!/\.(css|js|svg|txt)$/.test(name)) continue;
    const plain = await readFile(join(dist, name));
    const packed = gzipSync(plain, { level: 9 });
    if (packed.length < plain.length) await writeFile(join(dist, `${name}.gz`), packed);
  }
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await bundle(["src/app.ts", "src/docs.ts"]);
await bundle(["styles/app.css", "styles/docs.css"]);
const withoutMap = (text) => text.replace(/\n(\/\/# |\/\*# )sourceMappingURL=.*$/s, "\n");
await take("icon.svg", "assets/icon.svg");
await take("swagger-ui.css", "node_modules/swagger-ui-dist/swagger-ui.css", withoutMap);
await take("swagger-ui.js", "node_modules/swagger-ui-dist/swagger-ui-bundle.js", withoutMap);
await licences();
await compress();
const sorted = Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1)));
await writeFile(join(dist, "manifest.json"), `${JSON.stringify(sorted, null, 2)}\n`);
