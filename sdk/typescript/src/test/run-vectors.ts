/** Runs every golden vector and says how many; ends with 1 where one failed. */

import process from "node:process";
import { runFolder } from "./vector-runner.js";
import { GOLDEN } from "./places.js";

const { failures } = await runFolder(GOLDEN, console.log);
for (const line of failures) console.error(line);
process.exitCode = failures.length > 0 ? 1 : 0;
