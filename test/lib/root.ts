// Where the checkout is: for programs and files that are run or read as they lie there, also by what was compiled
// elsewhere.
import { join } from 'node:path';

export const ROOT = process.env.COLO_ROOT ?? join(__dirname, '..', '..');
