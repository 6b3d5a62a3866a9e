import { simulateShare } from '../lib/simulate';

simulateShare(0);
