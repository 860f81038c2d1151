// Decides requests by IAM's rules: JSON on standard input, JSON on standard output; no AWS, no network.
//
// Input: {policies: {name: document}, requests: [{principal, action, resource, account, context, identity: [name],
// boundary: [name], resourcePolicy: name}]}. Output: a list of {result} or {problem}; a problem is a request that no
// AWS service knows, such as an action that has no such resource or no such key.
//
// Argument: the folder whose node_modules has the library.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { anonymousPrincipal, runSimulation } = createRequire(`${process.argv[2]}/`)('@cloud-copilot/iam-simulate')

// The library drops keys of a request that it does not know of the action, and two kinds it should know: those with a
// variable behind a colon (it knows them behind a slash only), and one that the Service Authorization Reference leaves
// out although the Systems Manager guide asks for it. In policies and requests alike they go by the name of a key that
// every action has.
const UNLISTED = /^(kms:EncryptionContext:.+|ssm:SessionDocumentAccessCheck)$/
const renamed = (key) => (UNLISTED.test(key) ? `aws:RequestTag/${key}` : key)
const renameKeys = (mapping) =>
  Object.fromEntries(Object.entries(mapping).map(([key, value]) => [renamed(key), value]))
const readable = (policy) => ({
  ...policy,
  Statement: policy.Statement.map((statement) =>
    statement.Condition
      ? {
          ...statement,
          Condition: Object.fromEntries(
            Object.entries(statement.Condition).map(([operator, keys]) => [operator, renameKeys(keys)])
          )
        }
      : statement
  )
})

// Amazon's own documents have no account in their ARN, which the library takes for no document at all.
const text = readFileSync(0, 'utf8').replaceAll(/(?<region>arn:aws:ssm:[a-z0-9-]+:):document/g, '$<region>999999999999:document')
const input = JSON.parse(text)
const policies = Object.fromEntries(Object.entries(input.policies).map(([name, one]) => [name, readable(one)]))
const named = (names) => (names ?? []).map((name) => ({ name, policy: policies[name] }))

async function decide(request) {
  const outcome = await runSimulation(
    {
      request: {
        principal: request.principal === 'anonymous' ? anonymousPrincipal : request.principal,
        action: request.action,
        resource: { resource: request.resource, accountId: request.account },
        contextVariables: renameKeys(request.context)
      },
      identityPolicies: named(request.identity),
      permissionBoundaryPolicies: request.boundary?.length ? named(request.boundary) : undefined,
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: request.resourcePolicy ? policies[request.resourcePolicy] : undefined
    },
    {}
  )
  if (outcome.resultType === 'error') return { problem: JSON.stringify(outcome.errors) }
  const ignored = (outcome.results ?? [outcome.result]).flatMap((one) => one.ignoredContextKeys)
  if (ignored.length) return { problem: `the action knows no key ${ignored.join(', ')}` }
  return { result: outcome.overallResult }
}

const results = []
for (const request of input.requests) results.push(await decide(request))
process.stdout.write(JSON.stringify(results))
