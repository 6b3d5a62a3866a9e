// The kernel's side of a node: what `colo rules` shows, applies and removes.

export { appliedNodes, applyRules, type RulesReport, restoreRules } from './apply';
export { checkRules } from './check';
export { showLines, undoLines } from './commands';
export { missingByNode, missingRules } from './missing';
export { planOf, type RuleConfig, type RuleNode } from './plan';
export { removeRules } from './remove';
export { isolateRules, takeOverRules } from './take-over';
