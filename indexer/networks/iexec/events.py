"""Every event of every version of the iExec PoCo contracts, v3 (2019) to v6.2 (2026).

Source: npm @iexec/poco 5.1.2, 5.5.0, 6.1.0 and iexec-poco 3.0.35 (ABIs), github.com/iExecBlockchainComputing/PoCo.
Events that live in several versions kept their signatures; the names of arguments are those of v6. The hub's ledger
is an ERC-20 and the registries are ERC-721: their Transfer and Approval share topic0 and differ in the topics.
"""

from indexer.networks.abi import Event, parse

_OWNABLE = parse("OwnershipTransferred(address indexed previousOwner, address indexed newOwner)")

TASKS: tuple[Event, ...] = parse(
    """
    OrdersMatched(bytes32 dealid, bytes32 appHash, bytes32 datasetHash, bytes32 workerpoolHash, bytes32 requestHash,
                  uint256 volume)
    SchedulerNotice(address indexed workerpool, bytes32 dealid)
    DealSponsored(bytes32 dealId, address sponsor)
    TaskInitialize(bytes32 indexed taskid, address indexed workerpool)
    TaskContribute(bytes32 indexed taskid, address indexed worker, bytes32 hash)
    TaskConsensus(bytes32 indexed taskid, bytes32 consensus)
    TaskReveal(bytes32 indexed taskid, address indexed worker, bytes32 digest)
    TaskReopen(bytes32 indexed taskid)
    TaskFinalize(bytes32 indexed taskid, bytes results)
    TaskClaimed(bytes32 indexed taskid)
    AccurateContribution(address indexed worker, bytes32 indexed taskid)
    FaultyContribution(address indexed worker, bytes32 indexed taskid)

    SchedulerNoticeBoost(address indexed workerpool, bytes32 dealId, address app, address dataset, uint256 category,
                         bytes32 tag, string params, address beneficiary)
    ResultPushedBoost(bytes32 dealId, uint256 index, bytes results)
    DealSponsoredBoost(bytes32 dealId, address sponsor)
    """
)

# Deposit, DepositFor and Withdraw are of v3 alone: later versions mint and burn.
LEDGER: tuple[Event, ...] = parse(
    """
    Transfer(address indexed from, address indexed to, uint256 value)
    Approval(address indexed owner, address indexed spender, uint256 value)
    Lock(address owner, uint256 amount)
    Unlock(address owner, uint256 amount)
    Reward(address owner, uint256 amount, bytes32 ref)
    Seize(address owner, uint256 amount, bytes32 ref)
    Deposit(address owner, uint256 amount)
    DepositFor(address owner, uint256 amount, address target)
    Withdraw(address owner, uint256 amount)
    """
)

ORDERS: tuple[Event, ...] = parse(
    """
    SignedAppOrder(bytes32 appHash)
    SignedDatasetOrder(bytes32 datasetHash)
    SignedWorkerpoolOrder(bytes32 workerpoolHash)
    SignedRequestOrder(bytes32 requestHash)
    ClosedAppOrder(bytes32 appHash)
    ClosedDatasetOrder(bytes32 datasetHash)
    ClosedWorkerpoolOrder(bytes32 workerpoolHash)
    ClosedRequestOrder(bytes32 requestHash)

    BroadcastAppOrder((address app, uint256 appprice, uint256 volume, bytes32 tag, address datasetrestrict,
        address workerpoolrestrict, address requesterrestrict, bytes32 salt, bytes sign) apporder)
    BroadcastDatasetOrder((address dataset, uint256 datasetprice, uint256 volume, bytes32 tag, address apprestrict,
        address workerpoolrestrict, address requesterrestrict, bytes32 salt, bytes sign) datasetorder)
    BroadcastWorkerpoolOrder((address workerpool, uint256 workerpoolprice, uint256 volume, bytes32 tag,
        uint256 category, uint256 trust, address apprestrict, address datasetrestrict, address requesterrestrict,
        bytes32 salt, bytes sign) workerpoolorder)
    BroadcastRequestOrder((address app, uint256 appmaxprice, address dataset, uint256 datasetmaxprice,
        address workerpool, uint256 workerpoolmaxprice, address requester, uint256 volume, bytes32 tag,
        uint256 category, uint256 trust, address beneficiary, address callback, string params,
        bytes32 salt, bytes sign) requestorder)
    """
)

# CommitMessage and FunctionUpdate are the upgrades of the ERC-1538 proxy (v5), DiamondCut those of v6.
ADMIN: tuple[Event, ...] = _OWNABLE + parse(
    """
    CreateCategory(uint256 catid, string name, string description, uint256 workClockTimeRef)
    CommitMessage(string message)
    FunctionUpdate(bytes4 indexed functionId, address indexed oldDelegate, address indexed newDelegate,
                   string functionSignature)
    DiamondCut((address facetAddress, uint8 action, bytes4[] functionSelectors)[] _diamondCut, address _init,
               bytes _calldata)
    """
)

_REGISTRY = _OWNABLE + parse(
    """
    Transfer(address indexed from, address indexed to, uint256 indexed tokenId) -> registry_transfer
    Approval(address indexed owner, address indexed approved, uint256 indexed tokenId) -> registry_approval
    ApprovalForAll(address indexed owner, address indexed operator, bool approved)
    """
)

ROLES: dict[str, tuple[Event, ...]] = {
    "hub": TASKS + LEDGER + ORDERS + ADMIN,
    "appregistry": _REGISTRY + parse("CreateApp(address indexed appOwner, address app)"),
    "datasetregistry": _REGISTRY + parse("CreateDataset(address indexed datasetOwner, address dataset)"),
    "workerpoolregistry": _REGISTRY
    + parse(
        """
        CreateWorkerpool(address indexed workerpoolOwner, address indexed workerpool, string workerpoolDescription)
        """
    ),
    "workerpool": _OWNABLE
    + parse(
        """
        PolicyUpdate(uint256 oldWorkerStakeRatioPolicy, uint256 newWorkerStakeRatioPolicy,
                     uint256 oldSchedulerRewardRatioPolicy, uint256 newSchedulerRewardRatioPolicy)
        """
    ),
}
"""What a contract of each role can emit. In v3 hub and clerk, two contracts, both have the role `hub`;
registries created nothing but Create… events, and workerpools had owners of their own."""
