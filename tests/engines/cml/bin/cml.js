// A double of CML 0.20.6's `cml comment update` for machines that cannot fetch CML. It refuses whatever CML refuses,
// makes the calls that CML makes, in its order, and reads no more of the answers than CML reads.
const fs = require("node:fs");

const KNOWN = ["driver", "repo", "target", "publish", "watermark-title", "token", "log"];
const MOST = { gitlab: 1000000 }; // GitHub itself refuses more than 65536

async function call(method, url, headers, body) {
  const answer = await fetch(url, { method, headers, body });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.json();
}

async function main([group, command, ...rest]) {
  if (group !== "comment" || command !== "update") throw new Error("Unknown command");
  const options = {};
  const files = [];
  for (const part of rest) {
    if (!part.startsWith("--")) files.push(part);
    else {
      const [name, value] = part.slice(2).split(/=(.*)/s);
      if (!KNOWN.includes(name)) throw new Error(`Unknown argument: ${name}`);
      options[name] = value;
    }
  }
  if (files.length !== 1) throw new Error("Not enough non-option arguments");
  if (options.publish !== "false") throw new Error("the double publishes nothing");
  const token = options.token || process.env.REPO_TOKEN;
  if (!token) throw new Error("token not found");
  const [kind, number] = options.target.split("/");
  if (kind !== "pr") throw new Error(`unsupported comment target "${options.target}"`);
  const sha = process.env.GITHUB_SHA || process.env.CI_COMMIT_SHA;
  const title = `CML watermark ${options["watermark-title"]}`.trim();
  const text = `${fs.readFileSync(files[0], "utf8")}\n\n![](https://cml.dev/watermark.png#${sha} "${title}")`;
  const mine = ({ body }) => new RegExp(`!\\[\\]\\(https://cml\\.dev/watermark\\.png#[0-9a-fA-F]+ "${title}"\\)`).test(body);
  const repo = new URL(options.repo);
  const path = repo.pathname.slice(1);
  if (text.length > MOST[options.driver]) throw new Error("body is too long");

  if (options.driver === "github") {
    if (repo.protocol !== "https:") throw new Error("fetch failed");
    const api = `${repo.origin}/api/v3`;
    const headers = { Authorization: `token ${token}`, "Content-Type": "application/json" };
    const comments = `${api}/repos/${path}/issues/${number}/comments`;
    const own = (await call("GET", comments, headers)).reverse().find(mine);
    const body = JSON.stringify({ body: text });
    if (own) await call("PATCH", `${api}/repos/${path}/issues/comments/${own.id}`, headers, body);
    else await call("POST", comments, headers, body);
  } else if (options.driver === "gitlab") {
    const headers = { "PRIVATE-TOKEN": token };
    const notes = `${repo.origin}/api/v4/projects/${encodeURIComponent(path)}/merge_requests/${number}/notes`;
    await call("GET", `${repo.origin}/api/v4/version`, headers);
    const own = (await call("GET", notes, headers)).reverse().find(mine);
    const body = new URLSearchParams({ body: text });
    await call(own ? "PUT" : "POST", own ? `${notes}/${own.id}` : notes, headers, body);
  } else throw new Error(`driver ${options.driver} unknown!`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
