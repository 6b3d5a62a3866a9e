import { simulateShare } from '../lib/simulate';

simulateShare(1);
