// A client library as a program: it reads calls from standard input, one JSON object a line, does
// each with the library, and writes what the library said of it, one JSON object a line.
//
// A call names the document ({resource, id, activity, agent}) and has the contents to write, if
// any. Its answer has a status, or an error where there was none, and a note: what was called, and how.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [url, packages, asked] = process.argv.slice(2);

// X-Experience-API-Version, where the library's own is not to be sent.
export const version = asked || null;
export const endpoint = url + "/";
export const user = "player";
export const password = "secret";

// The libraries are CommonJS, and are not installed beside this file.
export const require = createRequire(packages + "/");

// Everything but State is a profile, whose calls are named after who has it.
export const isState = (call) => call.resource === "activities/state";
export const nameOf = (call) =>
    ({
        "activities/state": "State",
        "activities/profile": "ActivityProfile",
        "agents/profile": "AgentProfile",
    })[call.resource];

// run(client, calls): calls has a function for each call that the client can do.
export async function run(client, calls) {
    for await (const line of createInterface({ input: process.stdin })) {
        const call = JSON.parse(line);
        let answer;
        try {
            answer = await calls[call.call](call);
        } catch (error) {
            answer = { error: String(error?.stack ?? error) };
        }
        const said = { client, resource: call.resource, call: call.call, ...answer };
        process.stdout.write(JSON.stringify(said) + "\n");
    }
}
